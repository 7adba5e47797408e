use kiln_proto::v1::{HandleValue, Value, value::Kind};

/// The arguments of a call, taken one after the other. Names in them are as the component's dialect has them.
///
/// wasmtime has checked them against what the component declares; what this host does not know of that is an error here.
pub(in crate::host) struct Arguments {
    values: std::vec::IntoIter<Value>,
}

impl Arguments {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self {
            values: values.into_iter(),
        }
    }

    /// The next argument, as it is.
    pub(in crate::host) fn value(&mut self) -> wasmtime::Result<Value> {
        self.values
            .next()
            .ok_or_else(|| wasmtime::format_err!("an argument is missing"))
    }

    /// All arguments that are left.
    pub(in crate::host) fn rest(self) -> Vec<Value> {
        self.values.collect()
    }

    pub(in crate::host) fn u64(&mut self) -> wasmtime::Result<u64> {
        match self.value()?.kind {
            Some(Kind::U64Value(number)) => Ok(number),
            other => unfit("u64", other.as_ref()),
        }
    }

    pub(in crate::host) fn bool(&mut self) -> wasmtime::Result<bool> {
        match self.value()?.kind {
            Some(Kind::BoolValue(it)) => Ok(it),
            other => unfit("bool", other.as_ref()),
        }
    }

    pub(in crate::host) fn string(&mut self) -> wasmtime::Result<String> {
        match self.value()?.kind {
            Some(Kind::StringValue(text)) => Ok(text),
            other => unfit("string", other.as_ref()),
        }
    }

    pub(in crate::host) fn bytes(&mut self) -> wasmtime::Result<bytes::Bytes> {
        match self.value()?.kind {
            Some(Kind::ByteList(bytes)) => Ok(bytes),
            other => unfit("list<u8>", other.as_ref()),
        }
    }

    pub(in crate::host) fn list(&mut self) -> wasmtime::Result<Vec<Value>> {
        match self.value()?.kind {
            Some(Kind::List(list)) => Ok(list.values),
            other => unfit("list", other.as_ref()),
        }
    }

    pub(in crate::host) fn option(&mut self) -> wasmtime::Result<Option<Value>> {
        match self.value()?.kind {
            Some(Kind::Option(option)) => Ok(option.value.map(|value| *value)),
            other => unfit("option", other.as_ref()),
        }
    }

    /// The name of an enum's or variant's case; a variant's payload is dropped.
    pub(in crate::host) fn case(&mut self) -> wasmtime::Result<String> {
        match self.value()?.kind {
            Some(Kind::EnumValue(case)) => Ok(case.name),
            Some(Kind::Variant(variant)) => Ok(variant.case.map(|case| case.name).unwrap_or_default()),
            other => unfit("enum", other.as_ref()),
        }
    }

    /// The number under which the host keeps a resource of its own.
    pub(in crate::host) fn resource(&mut self) -> wasmtime::Result<u32> {
        match self.value()?.kind {
            Some(Kind::Handle(HandleValue { id, .. })) => Ok(u32::try_from(id)?),
            other => unfit("resource", other.as_ref()),
        }
    }
}

fn unfit<T>(expected: &str, found: Option<&Kind>) -> wasmtime::Result<T> {
    wasmtime::bail!("the host expects {expected} and got {found:?}")
}
