//! Filters between nodes.

use kiln_proto::{
    Error,
    v1::{
        FilterNode, FilterNodes, FilterOrder, NumberFilter, StatusFilter, TextComparison as WireComparison,
        TextFilter, VariableFilter, filter_node::Node,
    },
};

use super::{Filter, Order, TextComparison, TextTest, limits};

impl From<&Filter> for FilterNode {
    fn from(filter: &Filter) -> Self {
        let nodes = |filters: &[Filter]| FilterNodes {
            nodes: filters.iter().map(Self::from).collect(),
        };
        let variable = |key: &String, test: &TextTest| VariableFilter {
            key: key.clone(),
            test: Some(test.into()),
        };
        let number = |order: Order, value: u64| NumberFilter {
            order: wire_order(order).into(),
            value,
        };
        let node = match filter {
            Filter::All(all) => Node::All(nodes(all)),
            Filter::Any(any) => Node::Any(nodes(any)),
            Filter::Not(inner) => Node::Not(Box::new((&**inner).into())),
            Filter::Name(test) => Node::Name(test.into()),
            Filter::Status(order, status) => Node::Status(StatusFilter {
                order: wire_order(*order).into(),
                status: (*status).into(),
            }),
            Filter::Version(order, version) => Node::Version(number(*order, *version)),
            Filter::CreatedAt(order, at_ns) => Node::CreatedAt(number(*order, *at_ns)),
            Filter::Env(key, test) => Node::Env(variable(key, test)),
            Filter::Config(key, test) => Node::Config(variable(key, test)),
        };
        Self { node: Some(node) }
    }
}

impl TryFrom<&FilterNode> for Filter {
    type Error = Error;

    fn try_from(node: &FilterNode) -> Result<Self, Error> {
        let filter = read(node, 0)?;
        limits::check(&filter)?;
        Ok(filter)
    }
}

fn read(node: &FilterNode, depth: usize) -> Result<Filter, Error> {
    if depth > 2 * limits::DEPTH_MAX {
        return Err(malformed());
    }
    let nodes = |nodes: &FilterNodes| -> Result<Vec<Filter>, Error> {
        nodes.nodes.iter().map(|node| read(node, depth + 1)).collect()
    };
    let variable = |variable: &VariableFilter| {
        let test = variable.test.as_ref().ok_or_else(malformed)?;
        Ok::<_, Error>((variable.key.clone(), test.into()))
    };
    Ok(match node.node.as_ref().ok_or_else(malformed)? {
        Node::All(all) => Filter::All(nodes(all)?),
        Node::Any(any) => Filter::Any(nodes(any)?),
        Node::Not(inner) => Filter::Not(Box::new(read(inner, depth + 1)?)),
        Node::Name(test) => Filter::Name(test.into()),
        Node::Status(filter) => Filter::Status(filter.order().into(), filter.status()),
        Node::Version(filter) => Filter::Version(filter.order().into(), filter.value),
        Node::CreatedAt(filter) => Filter::CreatedAt(filter.order().into(), filter.value),
        Node::Env(filter) => {
            let (key, test) = variable(filter)?;
            Filter::Env(key, test)
        }
        Node::Config(filter) => {
            let (key, test) = variable(filter)?;
            Filter::Config(key, test)
        }
    })
}

fn malformed() -> Error {
    Error::invalid("the filter is malformed")
}

fn wire_order(order: Order) -> FilterOrder {
    match order {
        Order::Equal => FilterOrder::Equal,
        Order::NotEqual => FilterOrder::NotEqual,
        Order::Less => FilterOrder::Less,
        Order::LessOrEqual => FilterOrder::LessOrEqual,
        Order::Greater => FilterOrder::Greater,
        Order::GreaterOrEqual => FilterOrder::GreaterOrEqual,
    }
}

impl From<FilterOrder> for Order {
    fn from(order: FilterOrder) -> Self {
        match order {
            FilterOrder::Equal => Self::Equal,
            FilterOrder::NotEqual => Self::NotEqual,
            FilterOrder::Less => Self::Less,
            FilterOrder::LessOrEqual => Self::LessOrEqual,
            FilterOrder::Greater => Self::Greater,
            FilterOrder::GreaterOrEqual => Self::GreaterOrEqual,
        }
    }
}

impl From<&TextTest> for TextFilter {
    fn from(test: &TextTest) -> Self {
        let comparison = match test.comparison {
            TextComparison::Equal => WireComparison::TextEqual,
            TextComparison::NotEqual => WireComparison::TextNotEqual,
            TextComparison::Like => WireComparison::TextLike,
            TextComparison::NotLike => WireComparison::TextNotLike,
            TextComparison::StartsWith => WireComparison::TextStartsWith,
        };
        Self {
            comparison: comparison.into(),
            value: test.value.clone(),
        }
    }
}

impl From<&TextFilter> for TextTest {
    fn from(filter: &TextFilter) -> Self {
        let comparison = match filter.comparison() {
            WireComparison::TextEqual => TextComparison::Equal,
            WireComparison::TextNotEqual => TextComparison::NotEqual,
            WireComparison::TextLike => TextComparison::Like,
            WireComparison::TextNotLike => TextComparison::NotLike,
            WireComparison::TextStartsWith => TextComparison::StartsWith,
        };
        Self {
            comparison,
            value: filter.value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_through_unchanged() {
        let texts = [
            "name startswith a and (status >= retrying or not version < 3)",
            "createdAt > 2026-01-01T00:00:00Z or env.A != 'b c' or config.x notlike y",
        ];
        for filter in [Filter::parse_all(&texts).expect("valid"), Filter::Any(Vec::new())] {
            let read = Filter::try_from(&FilterNode::from(&filter));
            assert_eq!(read.expect("its own"), filter);
        }
        assert!(Filter::try_from(&FilterNode { node: None }).is_err());
    }
}
