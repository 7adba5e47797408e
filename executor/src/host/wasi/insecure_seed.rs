use kiln_proto::v1::{Value, ValueList, value::Kind};
use wasmtime_wasi::p2::bindings::random::insecure_seed::Host;

use crate::host::{
    HostState,
    payload::{NOTHING, u64_of, u64_value},
};

impl Host for HostState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let response = self.read_local("golem random::insecure_seed::insecure_seed", NOTHING, |state| {
            let values = vec![u64_value(state.fresh_u64()), u64_value(state.fresh_u64())];
            Value {
                kind: Some(Kind::Tuple(ValueList { values })),
            }
        })?;
        match response.kind {
            Some(Kind::Tuple(pair)) if pair.values.len() == 2 => {
                Ok((u64_of(&pair.values[0]), u64_of(&pair.values[1])))
            }
            _ => Ok((0, 0)),
        }
    }
}
