//! wasmtime's types into the host's own.

use std::sync::Arc;

use wasmtime::component::{ResourceType, Type as Wasm, types::ComponentFunc};

use crate::host::value::{Case, Field, Param, Signature, Type};

/// The resource types that a component exports, with their names.
pub(crate) type ResourceNames = Vec<(ResourceType, Arc<str>)>;

pub(crate) fn signature(function: &ComponentFunc, resources: &ResourceNames) -> Signature {
    let param = |(name, ty): (&str, Wasm)| Param {
        name: name.into(),
        ty: type_of(&ty, resources),
    };
    Signature {
        params: function.params().map(param).collect(),
        result: function.results().next().map(|ty| type_of(&ty, resources)),
    }
}

fn type_of(ty: &Wasm, resources: &ResourceNames) -> Type {
    let of = |ty: &Wasm| type_of(ty, resources);
    match ty {
        Wasm::Bool => Type::Bool,
        Wasm::U8 => Type::U8,
        Wasm::U16 => Type::U16,
        Wasm::U32 => Type::U32,
        Wasm::U64 => Type::U64,
        Wasm::S8 => Type::S8,
        Wasm::S16 => Type::S16,
        Wasm::S32 => Type::S32,
        Wasm::S64 => Type::S64,
        Wasm::Float32 => Type::F32,
        Wasm::Float64 => Type::F64,
        Wasm::Char => Type::Char,
        Wasm::String => Type::String,
        Wasm::List(list) => Type::List(Arc::new(of(&list.ty()))),
        Wasm::FixedLengthList(list) => Type::FixedList(Arc::new(of(&list.ty())), list.len()),
        Wasm::Record(record) => Type::Record(
            record
                .fields()
                .map(|field| Field {
                    name: field.name.into(),
                    ty: of(&field.ty),
                })
                .collect(),
        ),
        Wasm::Tuple(tuple) => Type::Tuple(tuple.types().map(|ty| of(&ty)).collect()),
        Wasm::Variant(variant) => {
            let case = |name: &str, ty: Option<Wasm>| Case {
                name: name.into(),
                payload: ty.map(|ty| of(&ty)),
            };
            Type::Variant(variant.cases().map(|c| case(c.name, c.ty)).collect())
        }
        Wasm::Enum(names) => Type::Enum(names.names().map(Box::from).collect()),
        Wasm::Option(option) => Type::Option(Arc::new(of(&option.ty()))),
        Wasm::Result(result) => Type::Result(Arc::new((
            result.ok().map(|ty| of(&ty)),
            result.err().map(|ty| of(&ty)),
        ))),
        Wasm::Flags(flags) => Type::Flags(flags.names().map(Box::from).collect()),
        Wasm::Own(resource) => Type::Own(resource_name(*resource, resources)),
        Wasm::Borrow(resource) => Type::Borrow(resource_name(*resource, resources)),
        Wasm::Future(_) => Type::Unsupported("future"),
        Wasm::Stream(_) => Type::Unsupported("stream"),
        Wasm::ErrorContext => Type::Unsupported("error-context"),
        Wasm::Map(_) => Type::Unsupported("map"),
    }
}

fn resource_name(ty: ResourceType, resources: &ResourceNames) -> Arc<str> {
    let known = resources.iter().find(|(known, _)| *known == ty);
    known.map_or_else(|| "resource".into(), |(_, name)| name.clone())
}
