//! Components: refused with what does not fit, and removed.

use kiln_proto::{Error, ErrorCode, v1};

use crate::node::Node;

async fn delete(node: &Node, component: &str) -> Result<(), Error> {
    let request = v1::DeleteComponentRequest {
        component: component.into(),
    };
    node.components.clone().delete_component(request).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_removed_when_it_has_no_workers_and_its_name_is_free_again() {
    let node = Node::start().await;
    let first = node.upload("counter").await;
    node.wave("counter/c", "increment", &["5"]).await.unwrap();
    let refused = delete(&node, "counter").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert_eq!(refused.message, "component \"counter\" has workers: 1");
    node.delete("counter/c").await.unwrap();
    delete(&node, "counter").await.unwrap();

    let gone = node.wave("counter/c", "increment", &["5"]).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound, "{gone}");
    assert_eq!(
        delete(&node, "counter").await.unwrap_err().code,
        ErrorCode::NotFound
    );
    let second = node.upload("counter").await;
    assert_ne!(second.component_id, first.component_id);
    assert_eq!(second.version, 0);
    assert_eq!(node.wave("counter/c", "increment", &["5"]).await.unwrap(), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_declared_otherwise_is_refused_with_what_is_different() {
    let node = Node::start().await;
    let cases = [
        (
            "(export \"get-oplog-index\" (func (result u32)))",
            "function get-oplog-index: result: it is u64, not u32",
        ),
        (
            "(export \"oplog-commit\" (func (param \"replicas\" u8) (param \"more\" u8)))",
            "function oplog-commit: it has 1 parameters, not 2",
        ),
        ("(export \"get-moon\" (func))", "function get-moon is not offered"),
        (
            "(type (record (field \"max-attempts\" string)))
             (export \"retry-policy\" (type (eq 0)))
             (export \"get-retry-policy\" (func (result 1)))",
            "function get-retry-policy: result: field max-attempts: it is u32, not string",
        ),
    ];
    for (at, (declared, expected)) in cases.into_iter().enumerate() {
        let text = format!("(component (import \"golem:api/host@1.1.7\" (instance {declared})))");
        let bytes = wat::parse_str(text).unwrap();
        let error = node
            .upload_bytes(&format!("odd-{at}"), &bytes, false)
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains(expected), "{error}");
    }
}
