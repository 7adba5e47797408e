use kiln_proto::v1::{FieldValue, HandleValue, RecordValue, Value, ValueList, value::Kind};
use wasmtime::component::wasm_wave::{
    ast::{Node, NodeType},
    parser::ParserError,
    untyped::UntypedValue,
};

use super::{
    ArgumentError, Field, Signature, Type, build,
    check::check_count,
    path::{Path, Unfit},
};

/// Reads one WAVE text an argument, against the parameters' types.
///
/// # Errors
/// Which argument does not fit, at which offset of its text, what is expected there and what was found.
pub fn parse_wave<S: AsRef<str>>(signature: &Signature, texts: &[S]) -> Result<Vec<Value>, ArgumentError> {
    check_count(signature, texts.len())?;
    let pairs = signature.params.iter().zip(texts).enumerate();
    pairs
        .map(|(at, (param, text))| {
            parse_one(text.as_ref(), &param.ty).map_err(|unfit| unfit.of_argument(at + 1, param))
        })
        .collect()
}

pub(super) fn parse_one(text: &str, ty: &Type) -> Result<Value, Unfit> {
    let untyped = UntypedValue::parse(text).map_err(|error| syntax_error(text, ty, &error))?;
    Reader { text }.read(untyped.node(), ty, &Path::Root)
}

fn syntax_error(text: &str, ty: &Type, error: &ParserError) -> Unfit {
    let span = error.span();
    let token = text.get(span.clone()).unwrap_or_default();
    let found = if token.is_empty() {
        error.kind().to_string()
    } else {
        format!("`{token}` ({})", error.kind())
    };
    Unfit::new(&Path::Root, ty, found).at_offset(span.start)
}

struct Reader<'t> {
    text: &'t str,
}

impl<'t> Reader<'t> {
    fn read(&self, node: &Node, ty: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
        let unfit = || self.unfit(node, path, ty);
        match ty {
            Type::Bool => node
                .as_bool()
                .map(|b| build::value(Kind::BoolValue(b)))
                .map_err(|_| unfit()),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::S8 | Type::S16 | Type::S32 | Type::S64 => {
                self.integer(node, ty, path)
            }
            Type::F32 => node
                .as_number(self.text)
                .map(|n| build::value(Kind::F32Value(n)))
                .map_err(|_| unfit()),
            Type::F64 => node
                .as_number(self.text)
                .map(|n| build::value(Kind::F64Value(n)))
                .map_err(|_| unfit()),
            Type::Char => node
                .as_char(self.text)
                .map(|c| build::value(Kind::CharValue(c.into())))
                .map_err(|_| unfit()),
            Type::String => node
                .as_str(self.text)
                .map(|s| build::value(Kind::StringValue(s.into_owned())))
                .map_err(|_| unfit()),
            Type::List(element) => {
                let nodes = node.as_list().map_err(|_| unfit())?;
                Ok(build::list(element, self.read_all(nodes, |_| element, path)?))
            }
            Type::FixedList(element, length) => {
                let nodes = node.as_list().map_err(|_| unfit())?;
                if nodes.len() != *length as usize {
                    return Err(unfit());
                }
                let values = self.read_all(nodes, |_| element, path)?;
                Ok(build::value(Kind::List(ValueList { values })))
            }
            Type::Tuple(types) => {
                let nodes = node.as_tuple().map_err(|_| unfit())?;
                if nodes.len() != types.len() {
                    return Err(unfit());
                }
                let values = self.read_all(nodes, |at| &types[at], path)?;
                Ok(build::value(Kind::Tuple(ValueList { values })))
            }
            Type::Record(fields) => self.record(node, fields, ty, path),
            Type::Variant(_) | Type::Enum(_) | Type::Flags(_) => self.named(node, ty, path),
            Type::Option(some) => self.option(node, some, path),
            Type::Result(sides) => self.result(node, sides, ty, path),
            Type::Own(_) | Type::Borrow(_) => self.handle(node, path),
            Type::Unsupported(_) => Err(unfit()),
        }
    }

    fn read_all<'n, 'y>(
        &self,
        nodes: impl Iterator<Item = &'n Node>,
        ty: impl Fn(usize) -> &'y Type,
        path: &Path<'_>,
    ) -> Result<Vec<Value>, Unfit> {
        nodes
            .enumerate()
            .map(|(at, node)| self.read(node, ty(at), &path.index(at)))
            .collect()
    }

    fn integer(&self, node: &Node, ty: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
        let number: Option<i128> = node.as_number(self.text).ok();
        number
            .and_then(|number| build::integer(ty, number))
            .ok_or_else(|| self.unfit(node, path, build::range(ty)))
    }

    fn record(&self, node: &Node, fields: &[Field], ty: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
        // `{}` is written alike for an empty set of flags and a record whose fields are all left out.
        let given: Vec<(&str, &Node)> = match node.as_record(self.text) {
            Ok(given) => given.collect(),
            Err(_) if node.ty() == NodeType::Flags && self.slice(node) == "{}" => Vec::new(),
            Err(_) => return Err(self.unfit(node, path, ty)),
        };
        if let Some((name, value)) = given
            .iter()
            .find(|(name, _)| !fields.iter().any(|f| &*f.name == *name))
        {
            let expected = build::one_of(fields.iter().map(|field| &*field.name));
            return Err(Unfit::new(path, expected, format!("field `{name}`")).at_offset(value.span().start));
        }
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            let node_of_field = given
                .iter()
                .find(|(name, _)| *name == &*field.name)
                .map(|(_, node)| *node);
            let value = match (node_of_field, &field.ty) {
                (Some(node), ty) => self.read(node, ty, &path.field(&field.name))?,
                (None, Type::Option(_)) => build::option(None),
                (None, _) => {
                    let expected = format!("field `{}: {}`", field.name, field.ty);
                    return Err(self.unfit(node, path, expected));
                }
            };
            values.push(FieldValue {
                name: field.name.to_string(),
                value: Some(value),
            });
        }
        Ok(build::value(Kind::Record(RecordValue { fields: values })))
    }

    /// Variants, enums and flags: what is written by names.
    fn named(&self, node: &Node, ty: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
        match ty {
            Type::Variant(cases) => {
                let (name, payload) = node
                    .as_variant(self.text)
                    .map_err(|_| self.unfit(node, path, ty))?;
                let names = || build::one_of(cases.iter().map(|case| &*case.name));
                let case = build::find_case(cases, name).ok_or_else(|| self.unfit(node, path, names()))?;
                let payload = self.payload(node, payload, case.payload.as_ref(), &path.case(&case.name))?;
                build::variant(cases, name, payload).ok_or_else(|| self.unfit(node, path, ty))
            }
            Type::Enum(names) => {
                let name = node.as_enum(self.text).map_err(|_| self.unfit(node, path, ty))?;
                let case = build::case_name(names.iter().map(|name| &**name), name);
                let expected = || build::one_of(names.iter().map(|name| &**name));
                let case = case.ok_or_else(|| self.unfit(node, path, expected()))?;
                Ok(build::value(Kind::EnumValue(case)))
            }
            Type::Flags(declared) => {
                let set = node.as_flags(self.text).map_err(|_| self.unfit(node, path, ty))?;
                let set: Vec<&str> = set.map(|name| name.strip_prefix('%').unwrap_or(name)).collect();
                if let Some(unknown) = set
                    .iter()
                    .find(|flag| !declared.iter().any(|known| **known == ***flag))
                {
                    let expected = build::one_of(declared.iter().map(|name| &**name));
                    return Err(
                        Unfit::new(path, expected, format!("flag `{unknown}`")).at_offset(node.span().start)
                    );
                }
                Ok(build::flags(declared, &set))
            }
            _ => Err(self.unfit(node, path, ty)),
        }
    }

    /// `some(…)`, `none`, or the bare value where that cannot be mistaken.
    fn option(&self, node: &Node, some: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
        match node.as_option() {
            Ok(Some(inner)) => Ok(build::option(Some(self.read(inner, some, &path.case("some"))?))),
            Ok(None) => Ok(build::option(None)),
            Err(_) => Ok(build::option(Some(self.read(node, some, path)?))),
        }
    }

    fn result(
        &self,
        node: &Node,
        sides: &(Option<Type>, Option<Type>),
        ty: &Type,
        path: &Path<'_>,
    ) -> Result<Value, Unfit> {
        match node.as_result() {
            Ok(Ok(payload)) => {
                let payload = self.payload(node, payload, sides.0.as_ref(), &path.case("ok"))?;
                Ok(build::result(false, payload))
            }
            Ok(Err(payload)) => {
                let payload = self.payload(node, payload, sides.1.as_ref(), &path.case("err"))?;
                Ok(build::result(true, payload))
            }
            Err(_) => match &sides.0 {
                Some(ok) => Ok(build::result(false, Some(self.read(node, ok, path)?))),
                None => Err(self.unfit(node, path, ty)),
            },
        }
    }

    fn payload(
        &self,
        node: &Node,
        payload: Option<&Node>,
        ty: Option<&Type>,
        path: &Path<'_>,
    ) -> Result<Option<Value>, Unfit> {
        match (payload, ty) {
            (Some(inner), Some(ty)) => self.read(inner, ty, path).map(Some),
            (None, None) => Ok(None),
            (None, Some(ty)) => Err(self.unfit(node, path, format!("a payload of type {ty}"))),
            (Some(inner), None) => Err(self.unfit(inner, path, "no payload")),
        }
    }

    fn handle(&self, node: &Node, path: &Path<'_>) -> Result<Value, Unfit> {
        let unfit = || self.unfit(node, path, build::HANDLE_FORM);
        if let Ok(text) = node.as_str(self.text) {
            return build::handle(&text).ok_or_else(unfit);
        }
        let fields: Vec<(&str, &Node)> = node.as_record(self.text).map_err(|_| unfit())?.collect();
        let field = |wanted: &str| {
            fields
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, node)| *node)
        };
        let uri = field("uri").and_then(|node| node.as_str(self.text).ok());
        let id = field("id").and_then(|node| node.as_number(self.text).ok());
        match (uri, id) {
            (Some(uri), Some(id)) if build::is_worker_uri(&uri) => {
                Ok(build::value(Kind::Handle(HandleValue {
                    uri: uri.into_owned(),
                    id,
                })))
            }
            _ => Err(unfit()),
        }
    }

    fn slice(&self, node: &Node) -> &'t str {
        self.text.get(node.span()).unwrap_or_default()
    }

    fn unfit(&self, node: &Node, path: &Path<'_>, expected: impl std::fmt::Display) -> Unfit {
        const SHOWN_MAX: usize = 60;
        let text = self.slice(node);
        let mut found: String = text.chars().take(SHOWN_MAX).collect();
        if found.len() < text.len() {
            found.push('…');
        }
        Unfit::new(path, expected, format!("`{found}`")).at_offset(node.span().start)
    }
}
