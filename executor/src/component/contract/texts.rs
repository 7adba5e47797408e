use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use wit_parser::{Handle, Resolve, SourceMap, Type as Wit, TypeDefKind, TypeId};

use crate::host::value::{Case, Field, Param, Signature, Type};

/// The files of a package.
type Package = &'static [&'static str];

macro_rules! package {
    ($($path:literal),+) => {
        &[$(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/", $path))),+]
    };
}

const IO_0_2_0: Package = package!("wasi-io-0.2.0/poll.wit");
const IO_0_2_3: Package = package!("wasi-io-0.2.3/poll.wit");
const CLOCKS_0_2_0: Package = package!("wasi-clocks-0.2.0/clocks.wit");
const CLOCKS_0_2_3: Package = package!("wasi-clocks-0.2.3/clocks.wit");

/// The packages of each version, in the order in which they use each other. Newest first, and of the two dialects that of
/// workers.
const VERSIONS: &[&[Package]] = &[
    &[
        IO_0_2_3,
        CLOCKS_0_2_3,
        package!("golem-rpc-0.2.2/types.wit"),
        package!(
            "golem-api-1.1.7/host.wit",
            "golem-api-1.1.7/context.wit",
            "golem-api-1.1.7/oplog.wit"
        ),
        package!("golem-durability-1.2.1/durability.wit"),
    ],
    &[
        IO_0_2_3,
        CLOCKS_0_2_3,
        package!("golem-rpc-0.2.2-agent/types.wit"),
        package!(
            "golem-api-1.1.7-agent/host.wit",
            "golem-api-1.1.7-agent/context.wit",
            "golem-api-1.1.7-agent/oplog.wit"
        ),
        package!("golem-durability-1.2.1/durability.wit"),
    ],
    &[
        IO_0_2_0,
        CLOCKS_0_2_0,
        package!("golem-rpc-0.2.0/types.wit"),
        package!(
            "golem-api-1.1.6/host.wit",
            "golem-api-1.1.6/context.wit",
            "golem-api-1.1.6/oplog.wit"
        ),
    ],
    &[
        IO_0_2_0,
        CLOCKS_0_2_0,
        package!("golem-rpc-0.1.1/types.wit"),
        package!("golem-api-1.1.0/host.wit", "golem-api-1.1.0/oplog.wit"),
        package!("golem-durability-1.2.0/durability.wit"),
    ],
    &[
        IO_0_2_0,
        CLOCKS_0_2_0,
        package!("golem-rpc-0.1.1/types.wit"),
        package!("golem-api-0.2.0/host.wit"),
    ],
];

/// All versions of the contract. They are read once.
pub(super) fn contracts() -> &'static [Contract] {
    static CONTRACTS: LazyLock<Vec<Contract>> = LazyLock::new(|| {
        let read = |packages: &&[Package]| {
            Contract::read(packages).expect("the texts are part of this program, and a test reads them")
        };
        VERSIONS.iter().map(read).collect()
    });
    &CONTRACTS
}

/// One version of the contract.
#[derive(Default)]
pub(super) struct Contract {
    /// By interface, without its version, and name.
    functions: HashMap<(String, String), Signature>,
    /// Versions of the interfaces.
    versions: HashMap<String, String>,
}

impl Contract {
    pub(super) fn function(&self, interface: &str, function: &str) -> Option<&Signature> {
        self.functions.get(&(interface.to_owned(), function.to_owned()))
    }

    /// True when this is the version of the interface.
    pub(super) fn has(&self, interface: &str, version: &str) -> bool {
        self.versions.get(interface).is_some_and(|own| own == version)
    }

    fn read(packages: &[Package]) -> Result<Self, String> {
        let mut resolve = Resolve::default();
        for files in packages {
            let mut map = SourceMap::default();
            for (number, file) in files.iter().enumerate() {
                map.push_str(&format!("{number}.wit"), *file);
            }
            let group = map.parse().map_err(|(_, error)| error.to_string())?;
            resolve.push_group(group).map_err(|error| error.to_string())?;
        }
        let mut contract = Self::default();
        for (id, interface) in resolve.interfaces.iter() {
            let Some(full) = resolve.id_of(id) else { continue };
            let (name, version) = full.split_once('@').unwrap_or((&full, ""));
            contract.versions.insert(name.to_owned(), version.to_owned());
            for (function, declared) in &interface.functions {
                let params = declared.params.iter().map(|param| Param {
                    name: param.name.as_str().into(),
                    ty: type_of(&resolve, &param.ty),
                });
                let signature = Signature {
                    params: params.collect(),
                    result: declared.result.as_ref().map(|ty| type_of(&resolve, ty)),
                };
                let key = (name.to_owned(), function.clone());
                contract.functions.insert(key, signature);
            }
        }
        Ok(contract)
    }
}

fn type_of(resolve: &Resolve, ty: &Wit) -> Type {
    match ty {
        Wit::Bool => Type::Bool,
        Wit::U8 => Type::U8,
        Wit::U16 => Type::U16,
        Wit::U32 => Type::U32,
        Wit::U64 => Type::U64,
        Wit::S8 => Type::S8,
        Wit::S16 => Type::S16,
        Wit::S32 => Type::S32,
        Wit::S64 => Type::S64,
        Wit::F32 => Type::F32,
        Wit::F64 => Type::F64,
        Wit::Char => Type::Char,
        Wit::String => Type::String,
        Wit::ErrorContext => Type::Unsupported("error-context"),
        Wit::Id(id) => defined(resolve, *id),
    }
}

fn defined(resolve: &Resolve, id: TypeId) -> Type {
    let of = |ty: &Wit| type_of(resolve, ty);
    match &resolve.types[id].kind {
        TypeDefKind::Record(record) => {
            let field = |field: &wit_parser::Field| Field {
                name: field.name.as_str().into(),
                ty: of(&field.ty),
            };
            Type::Record(record.fields.iter().map(field).collect())
        }
        TypeDefKind::Handle(Handle::Own(resource)) => Type::Own(name_of(resolve, *resource)),
        TypeDefKind::Handle(Handle::Borrow(resource)) => Type::Borrow(name_of(resolve, *resource)),
        TypeDefKind::Flags(flags) => Type::Flags(names(flags.flags.iter().map(|flag| &flag.name))),
        TypeDefKind::Tuple(tuple) => Type::Tuple(tuple.types.iter().map(of).collect()),
        TypeDefKind::Variant(variant) => {
            let case = |case: &wit_parser::Case| Case {
                name: case.name.as_str().into(),
                payload: case.ty.as_ref().map(of),
            };
            Type::Variant(variant.cases.iter().map(case).collect())
        }
        TypeDefKind::Enum(cases) => Type::Enum(names(cases.cases.iter().map(|case| &case.name))),
        TypeDefKind::Option(some) => Type::Option(Arc::new(of(some))),
        TypeDefKind::Result(result) => Type::Result(Arc::new((
            result.ok.as_ref().map(of),
            result.err.as_ref().map(of),
        ))),
        TypeDefKind::List(element) => Type::List(Arc::new(of(element))),
        TypeDefKind::FixedLengthList(element, length) => Type::FixedList(Arc::new(of(element)), *length),
        TypeDefKind::Type(ty) => of(ty),
        other => Type::Unsupported(other.as_str()),
    }
}

/// The name under which a resource was defined, through all names that it is used by.
fn name_of(resolve: &Resolve, mut id: TypeId) -> Arc<str> {
    while let TypeDefKind::Type(Wit::Id(used)) = &resolve.types[id].kind {
        id = *used;
    }
    resolve.types[id].name.as_deref().unwrap_or_default().into()
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> Arc<[Box<str>]> {
    names.map(|name| name.as_str().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::catalog;

    #[test]
    fn the_host_offers_what_the_texts_say() {
        for packages in VERSIONS {
            let contract = Contract::read(packages).expect("texts that can be read");
            for (interface, function) in contract.functions.keys() {
                let import = format!("{interface}@{}", contract.versions[interface]);
                if interface.starts_with("golem:") {
                    assert!(catalog().offers(&import), "{import}");
                    assert!(!catalog().lacks(&import, function), "{import} {function}");
                }
            }
        }
    }
}
