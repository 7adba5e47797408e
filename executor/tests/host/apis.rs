//! Guests that read oplogs, start spans and make calls of their own durable: in both dialects, live and after a crash at every
//! point.

use kiln_executor::{host::Invocation, replay::kind_name};
use kiln_proto::{
    ids::IdempotencyKey,
    v1::{InvocationContext, Span, SpanStack},
};

use crate::{
    crash::{crash_everywhere, run},
    fixture::{Worker, built, call, ok, shared},
};

const DIALECTS: [&str; 2] = ["apis", "apis-agent"];

fn kinds(worker: &Worker) -> Vec<&'static str> {
    let entries = worker.oplog.entries().expect("decodable entries");
    let kinds = entries.iter().filter_map(|entry| entry.entry.as_ref());
    kinds.map(kind_name).collect()
}

#[tokio::test]
async fn every_function_survives_a_crash_behind_every_entry() {
    for guest in DIALECTS {
        let calls: &[(&str, &[&str])] = &[
            ("span", &["\"inner\"", "\"7\""]),
            ("twice", &["21"]),
            ("keep-span", &["\"kept\""]),
            ("write", &["\"line\""]),
            ("lazy", &["1"]),
            ("search", &["\"\"", "\"twice OR begin-remote-write\""]),
            ("read", &["\"\"", "3"]),
            ("twice", &["4"]),
        ];
        let results = crash_everywhere(guest, calls).await;
        assert_eq!((results[1].as_str(), results[7].as_str()), ("42", "8"), "{guest}");
        assert_eq!(results[3], "\"second line\"");
        assert_eq!(results[4], "true", "not ready before it was set, ready after");
        assert!(results[5].contains("test::apis::twice") && results[5].contains("begin-remote-write"));
        assert!(
            !results[5].contains("search-oplog"),
            "a search does not find itself: {}",
            results[5]
        );
    }
}

#[tokio::test]
async fn effects_of_own_calls_are_made_once() {
    for guest in DIALECTS {
        let worker = Worker::of(built(guest)).await;
        let calls: &[(&str, &[&str])] = &[("twice", &["21"]), ("write", &["\"x\""]), ("effects", &[])];
        assert_eq!(run(&worker, calls).await, ["42", "\"second x\"", "3"]);
        assert_eq!(
            run(&worker, calls).await,
            ["42", "\"second x\"", "0"],
            "nothing is made again"
        );
        assert_eq!(
            kinds(&worker),
            [
                "create",
                "imported-function-invoked",
                "begin-remote-write",
                "imported-function-invoked",
                "imported-function-invoked",
                "end-remote-write",
            ]
        );
    }
}

#[tokio::test]
async fn a_guest_reads_its_own_oplog_to_its_end() {
    for guest in DIALECTS {
        let worker = Worker::of(built(guest)).await;
        let mut instance = worker.start().await;
        ok(&mut instance, "twice", &["1"]).await;
        let from_0 = ok(&mut instance, "read", &["\"\"", "0"]).await;
        assert_eq!(
            from_0,
            "[\"create \", \"test::apis::twice\", \"golem::api::get_self_metadata\"]"
        );
        let rest = ok(&mut instance, "read", &["\"\"", "4"]).await;
        assert!(rest.contains("golem::api::oplog::get-oplog::get-next"), "{rest}");
        let bad = call(&mut instance, "search", &["\"\"", "\"a AND\""]).await;
        let error = format!("{:?}", bad.expect_err("no query"));
        assert!(error.contains("at byte 5"), "{error}");
    }
}

#[tokio::test]
async fn spans_are_part_of_the_callers_trace_and_end_with_the_invocation() {
    for guest in DIALECTS {
        let worker = Worker::of(built(guest)).await;
        let mut instance = worker.start().await;
        let caller = Span {
            span_id: "00f067aa0ba902b7".into(),
            external: true,
            ..Span::default()
        };
        instance.enter(Invocation {
            key: IdempotencyKey::new("k").expect("a valid key"),
            function: "span".into(),
            started_ns: 5,
            context: Some(InvocationContext {
                trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
                trace_states: vec!["a=1".into()],
                stacks: vec![SpanStack { spans: vec![caller] }],
            }),
        });
        let seen = ok(&mut instance, "span", &["\"inner\"", "\"7\""]).await;
        let seen: Vec<&str> = seen.trim_matches(['[', ']']).split("\", \"").collect();
        assert_eq!(seen[0].trim_matches('"'), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((seen[1].len(), seen[2].len()), (16, 16));
        assert_eq!(
            seen[3..9],
            [
                "7",
                "",
                "red",
                "inner < outer < invoke-exported-function",
                "2",
                "6"
            ]
        );
        let headers = format!(
            "traceparent=00-0af7651916cd43dd8448eb211c80319c-{}-00 tracestate=a=1",
            seen[1]
        );
        assert_eq!(seen[9], headers);

        ok(&mut instance, "keep-span", &["\"kept\""]).await;
        assert_eq!(
            kinds(&worker),
            [
                "create",
                "start-span",
                "set-span-attribute",
                "start-span",
                "set-span-attribute",
                "finish-span",
                "finish-span",
                "start-span",
                "finish-span",
            ]
        );
    }
}

/// The same interfaces as three public toolchains use them.
#[tokio::test]
async fn guests_of_all_toolchains_use_them() {
    for guest in ["runtime-apis-rust", "runtime-apis-ts", "runtime-apis-py"] {
        let worker = Worker::of(shared(guest)).await;
        let calls: &[(&str, &[&str])] = &[
            ("durable", &["21"]),
            ("span", &["\"work\"", "\"color\"", "\"red\""]),
            ("search-oplog", &["\"double\""]),
            ("search-oplog", &["\"set-span-attribute AND color\""]),
        ];
        let live = run(&worker, calls).await;
        assert_eq!(
            (live[0].as_str(), live[2].as_str(), live[3].as_str()),
            ("42", "1", "1"),
            "{guest}"
        );
        assert!(live[1].ends_with("\"red\"]"), "{guest}: {}", live[1]);
        let length = worker.oplog.last();
        assert_eq!(run(&worker, calls).await, live, "{guest}");
        assert_eq!(worker.oplog.last(), length, "{guest}: replay records nothing");
    }
}
