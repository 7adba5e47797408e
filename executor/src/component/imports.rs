use wasmparser::{Parser, Payload, ValidPayload, Validator, component_types::ComponentEntityType};
use wasmtime::component::{Component, InstancePre, Linker, types::ComponentItem};

use super::Error;
use crate::host::{HostState, catalog, is_client, is_client_function, is_offered};

/// Names of the interfaces and functions that a component imports; interfaces of types only are left out.
pub(super) fn names(component: &Component) -> Vec<String> {
    let ty = component.component_type();
    let engine = component.engine();
    let needs_host = |item: &ComponentItem| !matches!(item, ComponentItem::Type(_));
    let imports = ty.imports(engine).filter(|(_, import)| match &import.ty {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).any(|(_, export)| needs_host(&export.ty))
        }
        item => needs_host(item),
    });
    imports.map(|(name, _)| name.to_owned()).collect()
}

/// Looks at the imports of bytes that are not compiled yet: compiling a large component takes many seconds.
///
/// What is wrong with the bytes otherwise is left to the compiler to say.
///
/// # Errors
/// [`Error::MissingImports`].
pub(super) fn check(bytes: &[u8]) -> Result<(), Error> {
    let declared = declared(bytes).unwrap_or_default();
    let missing = declared.iter().flat_map(missing_of).collect::<Vec<_>>();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::MissingImports { missing })
    }
}

/// What a component asks of the host under one name.
struct Import {
    name: String,
    /// The functions of an interface.
    functions: Vec<String>,
}

/// What the host does not offer of an import: all of it, or some functions.
fn missing_of(import: &Import) -> Vec<String> {
    let Import { name, functions } = import;
    if is_client(name) {
        let others = functions.iter().filter(|function| !is_client_function(function));
        return others
            .map(|function| format!("{name}: function {function} is none of a client"))
            .collect();
    }
    if !is_offered(name) {
        return vec![name.clone()];
    }
    let lacking = functions
        .iter()
        .filter(|function| catalog().lacks(name, function));
    lacking
        .map(|function| format!("{name}: function {function} is not offered"))
        .collect()
}

/// As [`names`], with functions, from the bytes; `None` when they do not parse.
fn declared(bytes: &[u8]) -> Option<Vec<Import>> {
    let mut validator = Validator::new();
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut types = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.ok()?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section.clone() {
                    names.push(import.ok()?.name.name.to_owned());
                }
            }
            _ => {}
        }
        // Function bodies are handed back unchecked, which makes this quick. The outermost component ends last.
        if let ValidPayload::End(ended) = validator.payload(&payload).ok()? {
            types = Some(ended);
        }
    }
    let types = types?;
    let types = types.as_ref();
    let import = |name: String| {
        let mut functions = Vec::new();
        match types.component_item_for_import(&name).map(|item| item.ty) {
            Some(ComponentEntityType::Instance(id)) => {
                let is_type = |ty: &ComponentEntityType| matches!(ty, ComponentEntityType::Type { .. });
                let exports = &types[id].exports;
                if exports.values().all(|item| is_type(&item.ty)) {
                    return None;
                }
                let is_function = |ty: &ComponentEntityType| matches!(ty, ComponentEntityType::Func(_));
                let named = exports.iter().filter(|(_, item)| is_function(&item.ty));
                functions.extend(named.map(|(name, _)| name.clone()));
            }
            Some(ComponentEntityType::Type { .. }) => return None,
            _ => {}
        }
        Some(Import { name, functions })
    };
    Some(names.into_iter().filter_map(import).collect())
}

/// Resolves the imports. wasmtime stops at the first that does not fit; here all that are missing are named.
pub(super) fn link(
    component: &Component,
    linker: &Linker<HostState>,
) -> Result<InstancePre<HostState>, Error> {
    linker.instantiate_pre(component).map_err(|first| {
        let missing: Vec<String> = names(component)
            .into_iter()
            .filter(|name| !is_offered(name) && !is_client(name))
            .collect();
        // An interface that is offered, but without a function or with another signature.
        let missing = if missing.is_empty() {
            vec![format!("{first:#}")]
        } else {
            missing
        };
        Error::MissingImports { missing }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing_without_compiling() {
        let component = r#"(component
            (import "acme:shop/cart@1.0.0" (instance (export "add" (func))))
            (import "acme:shop/types@1.0.0" (instance (type $id u32) (export "id" (type (eq $id)))))
            (import "wasi:cli/exit@0.2.6" (instance (export "exit" (func))))
            (import "golem:api/host@1.1.7" (instance (export "foo" (func)) (export "oplog-commit" (func))))
            (core module (func unreachable))
            (component (import "inner-thing" (func)))
            (import "bare" (func)))"#;
        let bytes = wat::parse_str(component).expect("it is well-formed");
        match check(&bytes) {
            Err(Error::MissingImports { missing }) => assert_eq!(
                missing,
                [
                    "acme:shop/cart@1.0.0",
                    "golem:api/host@1.1.7: function foo is not offered",
                    "bare"
                ]
            ),
            other => unreachable!("{other:?}"),
        }
        assert!(
            check(b"\0asm\x0d\0\x01\0 broken").is_ok(),
            "the compiler says what is wrong"
        );
    }
}
