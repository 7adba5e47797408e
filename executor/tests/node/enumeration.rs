use std::collections::BTreeSet;

use kiln_proto::{Error, ErrorCode, v1};

use crate::node::Node;

async fn list(node: &Node, request: v1::ListWorkersRequest) -> Result<v1::ListWorkersResponse, Error> {
    Ok(node.workers.clone().list_workers(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_every_worker_once() {
    let node = Node::start().await;
    node.upload("counter").await;
    let names: BTreeSet<String> = (0..30).map(|number| format!("w{number:02}")).collect();
    for name in &names {
        node.wave(&format!("counter/{name}"), "api.{get}", &[])
            .await
            .unwrap();
    }
    let mut request = v1::ListWorkersRequest {
        component: "counter".into(),
        precise: true,
        limit: 7,
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = list(&node, request.clone()).await.unwrap();
        assert!(page.workers.len() <= 7);
        seen.extend(page.workers.into_iter().map(|worker| worker.worker));
        if page.cursor.is_empty() {
            break;
        }
        request.cursor = page.cursor;
    }
    assert_eq!(seen.len(), names.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), names);

    request.cursor = String::new();
    request.limit = 30;
    assert!(
        list(&node, request.clone()).await.unwrap().cursor.is_empty(),
        "everything fits"
    );
    request.filters = vec!["name startswith w0".into(), "status = idle".into()];
    assert_eq!(list(&node, request.clone()).await.unwrap().workers.len(), 10);
    request.filters = vec!["name ~ x".into()];
    assert_eq!(
        list(&node, request.clone()).await.unwrap_err().code,
        ErrorCode::Invalid
    );
    request.filters.clear();
    request.cursor = "zz".into();
    assert_eq!(list(&node, request).await.unwrap_err().code, ErrorCode::Invalid);

    for (filters, expected) in [(vec![], 30), (vec!["name like 1".to_owned()], 12)] {
        let request = v1::CountWorkersRequest {
            component: "counter".into(),
            filters,
            precise: true,
        };
        let counted = node
            .workers
            .clone()
            .count_workers(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(counted.count, expected);
    }
}
