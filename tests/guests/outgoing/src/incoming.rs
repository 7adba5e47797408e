use crate::{
    bindings::{
        exports::wasi::http::incoming_handler::Guest,
        wasi::{
            http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
            io::streams::StreamError,
        },
    },
    exchange::text,
    Outgoing,
};

impl Guest for Outgoing {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match path.as_str() {
            "/silent" => return,
            "/endless" => loop {
                std::hint::black_box(());
            },
            // Some tenths of a second of processor time.
            "/busy" => {
                for number in 0..200_000_000_u64 {
                    std::hint::black_box(number);
                }
            }
            _ => {}
        }
        let headers = request.headers().entries();
        let mut answer = format!("{:?} {path}\n", request.method());
        for (name, value) in headers {
            answer += &format!("{name}: {}\n", text(value));
        }
        let body = request.consume().expect("the first time");
        let stream = body.stream().expect("the first time");
        let mut read = Vec::new();
        loop {
            match stream.blocking_read(7) {
                Ok(bytes) => read.extend(bytes),
                Err(StreamError::Closed) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        answer += &text(read);
        respond(out, answer.as_bytes());
    }
}

fn respond(out: ResponseOutparam, answer: &[u8]) {
    let headers = Fields::from_list(&[("x-answered".to_owned(), b"yes".to_vec())]).expect("allowed");
    let response = OutgoingResponse::new(headers);
    response.set_status_code(201).expect("a status");
    let body = response.body().expect("the first time");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the first time");
    for chunk in answer.chunks(4096) {
        stream.blocking_write_and_flush(chunk).expect("somebody listens");
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("complete");
}
