use kiln_proto::v1::{OptionValue, Value, ValueList, value::Kind};
use wasmtime_wasi::p2::bindings::cli::environment::Host;

use crate::host::{
    HostState,
    payload::{NOTHING, list_of, string, text_of, texts_of},
};

impl Host for HostState {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let context = self.context.clone();
        let response = self.read_local("golem_environment::get_environment", NOTHING, |_| {
            let pair = |(name, value): &(String, String)| Value {
                kind: Some(Kind::Tuple(ValueList {
                    values: vec![string(name), string(value)],
                })),
            };
            list_of(context.env.iter().map(pair))
        })?;
        let pairs = match response.kind {
            Some(Kind::List(list)) => list.values,
            _ => Vec::new(),
        };
        let pair = |value: Value| match value.kind {
            Some(Kind::Tuple(tuple)) => {
                let mut texts = texts_of(tuple.values).into_iter();
                Some((texts.next()?, texts.next()?))
            }
            _ => None,
        };
        Ok(pairs.into_iter().filter_map(pair).collect())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        let context = self.context.clone();
        let response = self.read_local("golem_environment::get_arguments", NOTHING, |_| {
            list_of(context.args.iter().map(|argument| string(argument)))
        })?;
        match response.kind {
            Some(Kind::List(list)) => Ok(texts_of(list.values)),
            _ => Ok(Vec::new()),
        }
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        let response = self.read_local("golem_environment::initial_cwd", NOTHING, |_| Value {
            kind: Some(Kind::Option(Box::new(OptionValue {
                value: Some(Box::new(string("/"))),
            }))),
        })?;
        match response.kind {
            Some(Kind::Option(option)) => Ok(option.value.and_then(|value| text_of(*value))),
            _ => Ok(None),
        }
    }
}
