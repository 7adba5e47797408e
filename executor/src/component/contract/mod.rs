//! The runtime's interfaces as their public texts declare them, in every version and dialect. A component that declares a
//! function otherwise is refused when it is uploaded, not when it calls the function.
//!
//! * `texts` – the WIT files of `wit/`, read into signatures
//! * `fit` – whether what the host gives fits what a component declares

mod fit;
mod texts;

use std::convert::Infallible;

use wasmtime::component::{Component, types::ComponentItem};

use super::types::signature;
use crate::host::{Imported, catalog, each_import, value::Signature};
pub(super) use fit::fits;
use texts::{Contract, contracts};

/// Functions that a component declares in a way that no version of the contract has, with what is different.
pub(super) fn misfits(component: &Component) -> Vec<String> {
    let mut misfits = Vec::new();
    let visited: Result<(), Infallible> = each_import(component, |import| {
        if catalog().offers(import.name) {
            misfits.extend(misfits_of(&import));
        }
        Ok(())
    });
    let Ok(()) = visited;
    misfits
}

fn misfits_of(import: &Imported<'_>) -> Vec<String> {
    let misfit = |(name, item): &(&str, ComponentItem)| {
        let ComponentItem::ComponentFunc(function) = item else {
            return None;
        };
        let misfit = misfit(import.name, name, &signature(function, import.names))?;
        Some(format!("{}: function {name}: {misfit}", import.name))
    };
    import.items.iter().filter_map(misfit).collect()
}

/// How a declared function differs from the contract; `None` when some version has it so, or none knows it.
fn misfit(import: &str, function: &str, declared: &Signature) -> Option<String> {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let known = contracts().iter().filter_map(|contract| {
        let signature = contract.function(interface, function)?;
        Some((contract, differs(signature, declared).err()))
    });
    let known: Vec<(&Contract, Option<String>)> = known.collect();
    if known.iter().any(|(_, difference)| difference.is_none()) {
        return None;
    }
    // Told is the difference to the version that the component names.
    let of_version = known
        .iter()
        .find(|(contract, _)| contract.has(interface, version));
    let told = of_version.or(known.first())?;
    told.1.clone()
}

/// Whether a component may call a function of the contract as it declares it.
fn differs(contract: &Signature, declared: &Signature) -> Result<(), String> {
    if contract.params.len() != declared.params.len() {
        return Err(format!(
            "it has {} parameters, not {}",
            contract.params.len(),
            declared.params.len()
        ));
    }
    for (theirs, ours) in declared.params.iter().zip(&contract.params) {
        fits(&theirs.ty, &ours.ty).map_err(|misfit| format!("parameter {}: {misfit}", theirs.name))?;
    }
    match (&contract.result, &declared.result) {
        (_, None) => Ok(()),
        (Some(ours), Some(theirs)) => fits(ours, theirs).map_err(|misfit| format!("result: {misfit}")),
        (None, Some(_)) => Err("it has no result".to_owned()),
    }
}
