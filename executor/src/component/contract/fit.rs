use crate::host::{
    names_in_dialects,
    value::{Case, Type},
};

/// Whether every value of type `given` can be brought into the shape `declared`, as it is done with what host functions give and
/// take: fields and cases by name, in any dialect.
///
/// # Errors
/// Where it cannot, in words.
pub(in crate::component) fn fits(given: &Type, declared: &Type) -> Result<(), String> {
    match (given, declared) {
        (Type::Record(given), Type::Record(declared)) => {
            for field in &**declared {
                let found = names_in_dialects(&field.name)
                    .find_map(|name| given.iter().find(|field| &*field.name == name));
                match found {
                    Some(found) => {
                        fits(&found.ty, &field.ty)
                            .map_err(|misfit| format!("field {}: {misfit}", field.name))?;
                    }
                    None if matches!(field.ty, Type::Option(_)) => {}
                    None => return Err(format!("there is no field {}", field.name)),
                }
            }
            Ok(())
        }
        (Type::List(given), Type::List(declared)) | (Type::Option(given), Type::Option(declared)) => {
            fits(given, declared)
        }
        (Type::Tuple(given), Type::Tuple(declared)) if given.len() == declared.len() => given
            .iter()
            .zip(&**declared)
            .try_for_each(|(given, declared)| fits(given, declared)),
        (Type::Result(given), Type::Result(declared)) => {
            side(given.0.as_ref(), declared.0.as_ref())?;
            side(given.1.as_ref(), declared.1.as_ref())
        }
        (Type::Variant(given), Type::Variant(declared)) => given.iter().try_for_each(|case| {
            let found = find(declared, &case.name);
            let found = found.ok_or_else(|| format!("there is a case {}", case.name))?;
            side(case.payload.as_ref(), found.payload.as_ref())
                .map_err(|misfit| format!("case {}: {misfit}", case.name))
        }),
        (Type::Enum(given), Type::Enum(declared)) => {
            match given.iter().find(|case| !declared.contains(case)) {
                Some(case) => Err(format!("there is a case {case}")),
                None => Ok(()),
            }
        }
        // Dialects name resources differently.
        (Type::Own(_), Type::Own(_)) | (Type::Borrow(_), Type::Borrow(_)) => Ok(()),
        (given, declared) if given == declared => Ok(()),
        (given, declared) => Err(format!("it is {}, not {}", short(given), short(declared))),
    }
}

fn side(given: Option<&Type>, declared: Option<&Type>) -> Result<(), String> {
    match (given, declared) {
        (_, None) => Ok(()),
        (Some(given), Some(declared)) => fits(given, declared),
        (None, Some(declared)) => Err(format!("there is no {}", short(declared))),
    }
}

fn find<'c>(cases: &'c [Case], given: &str) -> Option<&'c Case> {
    cases
        .iter()
        .find(|case| names_in_dialects(&case.name).any(|name| name == given))
}

/// A type in words, cut short.
fn short(ty: &Type) -> String {
    const SHOWN_MAX: usize = 80;
    let text = ty.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
