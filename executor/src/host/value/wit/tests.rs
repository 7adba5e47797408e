use std::sync::Arc;

use kiln_proto::v1::{FieldValue, Value, value::Kind};
use proptest::prelude::*;

use super::{Shape, WitError, type_from_wit, type_of, type_to_wit, value_from_wit, value_to_wit};
use crate::host::value::{
    Type,
    tests::{any_type, any_value},
};

fn typed_value() -> impl Strategy<Value = (Type, Value)> {
    any_type().prop_flat_map(|ty| (Just(ty.clone()), any_value(&ty)))
}

proptest! {
    #[test]
    fn values_come_back((ty, value) in typed_value()) {
        let tree = value_to_wit(&value).expect("a flat form");
        prop_assert_eq!(value_from_wit(&tree, &ty), Ok(value));
    }

    #[test]
    fn an_inferred_type_has_the_same_flat_value((_, value) in typed_value()) {
        let tree = value_to_wit(&value).expect("a flat form");
        let read = value_from_wit(&tree, &type_of(&value)).expect("the value fits its inferred type");
        prop_assert_eq!(value_to_wit(&read), Ok(tree));
    }

    #[test]
    fn types_come_back(ty in any_type()) {
        for shape in [Shape::Named, Shape::Bare] {
            let tree = type_to_wit(&ty, shape).expect("a flat form");
            let read = type_from_wit(&tree).expect("a type");
            prop_assert_eq!(type_to_wit(&read, Shape::Bare), type_to_wit(&ty, Shape::Bare));
        }
    }

    #[test]
    fn any_nodes_are_read_or_refused((ty, value) in typed_value(), (other, _) in typed_value()) {
        let tree = value_to_wit(&value).expect("a flat form");
        let _ = value_from_wit(&tree, &other);
        let _ = type_from_wit(&tree);
        let _ = value_from_wit(&value, &ty);
    }
}

fn nodes(nodes: Vec<Value>) -> Value {
    Value::record(vec![FieldValue::of(
        "nodes",
        nodes.into_iter().collect::<Value>(),
    )])
}

fn option_node(child: Option<i32>) -> Value {
    let child: Value = child.map(|at| Value::from(Kind::S32Value(at))).into();
    Value::variant("option-value", Some(child))
}

fn options(depth: usize) -> Type {
    (0..depth).fold(Type::Bool, |inner, _| Type::Option(Arc::new(inner)))
}

#[test]
fn nodes_are_in_pre_order() {
    let value = Value::record(vec![
        FieldValue::of("a", Some(7u32)),
        FieldValue::of("b", Value::tuple(vec![true.into()])),
    ]);
    let index = |at: i32| Value::from(Kind::S32Value(at));
    let expected = nodes(vec![
        Value::variant("record-value", Some([index(1), index(3)].into_iter().collect())),
        option_node(Some(2)),
        Value::variant("prim-u32", Some(7u32.into())),
        Value::variant("tuple-value", Some([index(4)].into_iter().collect())),
        Value::variant("prim-bool", Some(true.into())),
    ]);
    assert_eq!(value_to_wit(&value), Ok(expected));
}

#[test]
fn malformed_nodes_are_refused() {
    let cases = [
        (nodes(vec![]), WitError::NoNode(0)),
        (nodes(vec![option_node(Some(1))]), WitError::NoNode(1)),
        (nodes(vec![option_node(Some(-1))]), WitError::NoNode(-1)),
        (nodes(vec![option_node(Some(0))]), WitError::Shared),
        (Value::from(1u32), WitError::NoNodes),
    ];
    for (tree, error) in cases {
        assert_eq!(value_from_wit(&tree, &options(3)), Err(error));
    }
    let chain = (1..40)
        .map(|child| option_node(Some(child)))
        .chain([option_node(None)]);
    assert_eq!(
        value_from_wit(&nodes(chain.collect()), &options(60)),
        Err(WitError::TooDeep)
    );
    let unfit = value_from_wit(&nodes(vec![option_node(None)]), &Type::U8);
    assert_eq!(
        unfit.expect_err("another type").to_string(),
        "node 0: expected u8, got option-value"
    );
}
