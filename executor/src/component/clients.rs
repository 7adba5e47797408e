//! Whether the component behind a client stub offers what the stub promises.

use super::{FunctionRef, LoadedComponent, contract::fits};
use crate::host::{
    ClientCall,
    value::{Param, Type},
};

impl LoadedComponent {
    /// Client stubs that the component imports.
    pub(crate) fn client_imports(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self.client_calls().iter().map(|call| &*call.import).collect();
        names.dedup();
        names.into_iter()
    }

    /// What a stub promises and `target` has not, or has otherwise.
    pub(crate) fn unserved(&self, import: &str, target: &Self, name: &str) -> Vec<String> {
        let calls = self.client_calls().iter().filter(|call| &*call.import == import);
        let unserved = calls.filter_map(|call| unserved(call, target));
        unserved
            .map(|what| format!("{import}: component \"{name}\" {what}"))
            .collect()
    }
}

/// Why a call cannot reach its function.
fn unserved(call: &ClientCall, target: &LoadedComponent) -> Option<String> {
    let of_interface = format!("{}.{{{}}}", call.resource, call.function);
    let of_resource = format!("{{{}.{}}}", call.resource, call.function);
    let (function, skipped) = match (target.function(&of_interface), target.function(&of_resource)) {
        (Ok(function), _) => (function, 0),
        // A member of a resource has that as its first parameter.
        (_, Ok(function)) => (function, 1),
        _ => return Some(format!("has no function {of_interface}")),
    };
    let differs = differs(call, &function, skipped).err()?;
    Some(format!("has another function {}: {differs}", function.full_name))
}

fn differs(call: &ClientCall, function: &FunctionRef, skipped: usize) -> Result<(), String> {
    let params: &[Param] = function.signature.params.get(skipped..).unwrap_or_default();
    if params.len() != call.params.len() {
        return Err(format!(
            "it has {} parameters, not {}",
            params.len(),
            call.params.len()
        ));
    }
    for (given, declared) in call.params.iter().zip(params) {
        fits(given, &declared.ty).map_err(|misfit| format!("parameter {}: {misfit}", declared.name))?;
    }
    let result: (Option<&Type>, Option<&Type>) = (function.signature.result.as_ref(), call.result.as_ref());
    match result {
        (Some(given), Some(declared)) => fits(given, declared).map_err(|misfit| format!("result: {misfit}")),
        (None, Some(_)) => Err("it has no result".to_owned()),
        (_, None) => Ok(()),
    }
}
