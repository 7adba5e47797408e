use kiln_proto::v1::{
    ErrorEntry, ExportedFunctionInvokedEntry, FieldValue, ImportedFunctionInvokedEntry, LogEntry, OplogEntry,
    Payload, PendingWorkerInvocationEntry, RetryPolicy, Value, oplog_entry::Entry, payload,
    pending_worker_invocation_entry::Invocation,
};

use super::Query;

fn add_item() -> ExportedFunctionInvokedEntry {
    let item = Value::record(vec![
        FieldValue::of("product-id", "G1002"),
        FieldValue::of("price", 999u32),
        FieldValue::of("seller", Value::record(vec![FieldValue::of("name", "Ada")])),
    ]);
    ExportedFunctionInvokedEntry {
        function_name: "shop:cart/api.{add-item}".into(),
        request: vec![item],
        idempotency_key: "key-7".into(),
        context: None,
    }
}

fn entries() -> Vec<OplogEntry> {
    let request = Value::tuple(Vec::new());
    let payload = |value: Value| {
        Some(Payload {
            payload: Some(payload::Payload::Value(value)),
            ..Payload::default()
        })
    };
    let entries = [
        Entry::PendingWorkerInvocation(PendingWorkerInvocationEntry {
            invocation: Some(Invocation::ExportedFunction(add_item())),
        }),
        Entry::ExportedFunctionInvoked(add_item()),
        Entry::ImportedFunctionInvoked(ImportedFunctionInvokedEntry {
            function_name: "golem api::generate_idempotency_key".into(),
            request: payload(request),
            response: payload("0af7".into()),
            function_type: None,
        }),
        Entry::Log(LogEntry {
            message: "Adding G1002 (999 cents)".into(),
            ..LogEntry::default()
        }),
        Entry::ChangeRetryPolicy(RetryPolicy {
            max_attempts: 999,
            ..RetryPolicy::default()
        }),
        Entry::Error(ErrorEntry {
            message: "boom: out of stock".into(),
            retry_from: 999,
            ..ErrorEntry::default()
        }),
    ];
    let entry = |entry| OplogEntry {
        timestamp_ns: 1,
        entry: Some(entry),
    };
    entries.map(entry).to_vec()
}

#[test]
fn finds_what_it_says() {
    let cases: &[(&str, &[usize])] = &[
        ("", &[0, 1, 2, 3, 4, 5]),
        ("g1002", &[0, 1, 3]),
        ("\"g1002\"", &[]),
        ("\"Adding G1002\"", &[3]),
        ("G1002 AND exported-function", &[0, 1]),
        ("G1002 NOT pending", &[1, 3]),
        ("G1002 NOT (pending OR log)", &[1]),
        ("imported-function", &[2]),
        ("importedfunctioninvoked", &[2]),
        ("exportedfunctioninvoked", &[1]),
        ("pending-invocation", &[0]),
        ("golem api::generate", &[2]),
        ("api::generate_idempotency_key", &[2]),
        ("product-id:G1002", &[0, 1]),
        ("product-id=g1002", &[0, 1]),
        ("Product-Id:\"G1002\"", &[0, 1]),
        ("product-id:G1001 OR product-id:G1002", &[0, 1]),
        ("seller.name:ada", &[0, 1]),
        ("name:ada seller:ada", &[0, 1]),
        ("name.seller:ada", &[]),
        ("product-id:ada", &[]),
        ("price:999", &[0, 1]),
        ("999", &[0, 1, 3]),
        ("retry-from:999", &[5]),
        ("max-attempts:999", &[4]),
        ("function-name:/^shop.*add-item/", &[0, 1]),
        ("/\\d+ cents/", &[3]),
        ("idempotency-key:key-7", &[0, 1]),
        ("stock error", &[5]),
        ("stock OR g1002 log", &[3, 5]),
        ("NOT NOT stock", &[5]),
    ];
    let entries = entries();
    for (text, expected) in cases {
        let query = Query::parse(text).expect(text);
        let found: Vec<usize> = (0..entries.len())
            .filter(|at| query.matches(&entries[*at]))
            .collect();
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn says_where_a_query_goes_wrong() {
    let deep = "(".repeat(40);
    let long = "x".repeat(5000);
    let cases = [
        ("a AND", 5, "expected a word"),
        ("a OR OR b", 5, "expected a word"),
        ("(a", 2, "expected )"),
        ("a )", 2, "expected AND"),
        ("\"open", 0, "no counterpart"),
        ("a /[/", 2, "regex parse error"),
        ("/a{9999}{9999}/", 0, "exceeds size limit"),
        (deep.as_str(), 32, "at most 32 deep"),
        (long.as_str(), 4096, "at most 4096 bytes"),
    ];
    for (text, at, problem) in cases {
        let error = Query::parse(text).expect_err(text);
        assert_eq!(error.at, at, "{error}");
        assert!(error.problem.contains(problem), "{error}");
    }
}
