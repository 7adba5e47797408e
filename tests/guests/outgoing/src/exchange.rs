use crate::bindings::{
    exports::test::outgoing::api::{Response, TimeOuts},
    wasi::{
        http::{
            outgoing_handler,
            types::{
                http_error_code, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody,
                OutgoingRequest, RequestOptions, Scheme,
            },
        },
        io::{
            poll::poll,
            streams::{InputStream, StreamError},
        },
    },
};

#[derive(Default)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    pub time_outs: Option<TimeOuts>,
}

/// A request that is on its way.
pub struct Exchange(FutureIncomingResponse);

impl Request {
    pub fn get(url: String) -> Self {
        Self { method: "GET".into(), url, ..Self::default() }
    }

    pub fn send(self) -> Result<Exchange, String> {
        let request = outgoing(&self.method, &self.url, self.headers)?;
        let body = self.body.as_ref().map(|_| request.body().map_err(|()| "no body")).transpose()?;
        let options = self.time_outs.map(options);
        let sent = outgoing_handler::handle(request, options).map_err(|code| format!("{code:?}"))?;
        if let (Some(body), Some(text)) = (body, self.body) {
            let stream = body.write().map_err(|()| "no stream")?;
            for chunk in text.as_bytes().chunks(4096) {
                stream.blocking_write_and_flush(chunk).map_err(|error| said(&error))?;
            }
            drop(stream);
            OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
        }
        Ok(Exchange(sent))
    }
}

fn outgoing(method: &str, url: &str, headers: Vec<(String, String)>) -> Result<OutgoingRequest, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let headers: Vec<(String, Vec<u8>)> =
        headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
    let headers = Fields::from_list(&headers).map_err(|error| format!("{error:?}"))?;
    let request = OutgoingRequest::new(headers);
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    };
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_method(&method).map_err(|()| "a bad method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "a bad scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "a bad authority")?;
    request.set_path_with_query(Some(path)).map_err(|()| "a bad path")?;
    Ok(request)
}

fn options(time_outs: TimeOuts) -> RequestOptions {
    let options = RequestOptions::new();
    let ns = |ms: Option<u64>| ms.map(|ms| ms * 1_000_000);
    let _ = options.set_connect_timeout(ns(time_outs.connect_ms));
    let _ = options.set_first_byte_timeout(ns(time_outs.first_byte_ms));
    let _ = options.set_between_bytes_timeout(ns(time_outs.between_bytes_ms));
    options
}

/// Sends so many bytes, as fast as the stream takes them.
pub fn upload(url: String, size: u64) -> Result<Exchange, String> {
    let request = outgoing("POST", &url, Vec::new())?;
    let body = request.body().map_err(|()| "no body")?;
    let sent = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    let stream = body.write().map_err(|()| "no stream")?;
    let mut left = size;
    while left > 0 {
        let room = stream.check_write().map_err(|error| said(&error))?;
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let length = room.min(left).min(10_000);
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        stream.write(&bytes).map_err(|error| said(&error))?;
        left -= length;
    }
    stream.blocking_flush().map_err(|error| said(&error))?;
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
    Ok(Exchange(sent))
}

/// Waits until each request has its answer, whichever comes first.
pub fn wait_for_all(exchanges: &[Result<Exchange, String>]) {
    let mut waiting: Vec<_> = exchanges.iter().flatten().map(|exchange| exchange.0.subscribe()).collect();
    while !waiting.is_empty() {
        let pollables: Vec<_> = waiting.iter().collect();
        for at in poll(&pollables).into_iter().rev() {
            waiting.remove(at as usize);
        }
    }
}

impl Exchange {
    fn head(&self) -> Result<IncomingResponse, String> {
        loop {
            if let Some(answer) = self.0.get() {
                return answer.map_err(|()| "fetched twice")?.map_err(|code| format!("{code:?}"));
            }
            self.0.subscribe().block();
        }
    }

    pub fn response(self) -> Result<Response, String> {
        let head = self.head()?;
        let (status, headers) = (head.status(), texts(head.headers().entries()));
        let body = head.consume().map_err(|()| "no body")?;
        let stream = body.stream().map_err(|()| "no stream")?;
        Ok(Response { status, headers, body: text(read_to_end(&stream, Vec::new())?) })
    }

    pub fn body_by_poll(self, at_once: u64) -> Result<String, String> {
        let head = self.head()?;
        let body = head.consume().map_err(|()| "no body")?;
        let stream = body.stream().map_err(|()| "no stream")?;
        let mut read = Vec::new();
        loop {
            let pollable = stream.subscribe();
            poll(&[&pollable]);
            match stream.read(at_once) {
                Ok(bytes) => read.extend(bytes),
                Err(StreamError::Closed) => return Ok(text(read)),
                Err(error) => return Err(said(&error)),
            }
        }
    }

    pub fn body_after(self, skipped: u64) -> Result<String, String> {
        let head = self.head()?;
        let body = head.consume().map_err(|()| "no body")?;
        let stream = body.stream().map_err(|()| "no stream")?;
        let mut left = skipped;
        while left > 0 {
            left -= stream.blocking_skip(left).map_err(|error| said(&error))?;
        }
        Ok(text(read_to_end(&stream, Vec::new())?))
    }

    pub fn trailers(self) -> Result<Vec<(String, String)>, String> {
        let head = self.head()?;
        let body = head.consume().map_err(|()| "no body")?;
        let stream = body.stream().map_err(|()| "no stream")?;
        read_to_end(&stream, Vec::new())?;
        drop(stream);
        let future = IncomingBody::finish(body);
        loop {
            if let Some(trailers) = future.get() {
                let trailers = trailers.map_err(|()| "fetched twice")?.map_err(|code| format!("{code:?}"))?;
                return Ok(trailers.map(|fields| texts(fields.entries())).unwrap_or_default());
            }
            future.subscribe().block();
        }
    }

    pub fn forget(self) -> Result<u16, String> {
        let head = self.head()?;
        let status = head.status();
        std::mem::forget(head.consume().map_err(|()| "no body")?);
        std::mem::forget(head);
        std::mem::forget(self);
        Ok(status)
    }
}

fn read_to_end(stream: &InputStream, mut read: Vec<u8>) -> Result<Vec<u8>, String> {
    loop {
        match stream.blocking_read(1 << 20) {
            Ok(bytes) => read.extend(bytes),
            Err(StreamError::Closed) => return Ok(read),
            Err(error) => return Err(said(&error)),
        }
    }
}

fn said(error: &StreamError) -> String {
    match error {
        StreamError::LastOperationFailed(error) => match http_error_code(error) {
            Some(code) => format!("{code:?}"),
            None => error.to_debug_string(),
        },
        StreamError::Closed => "closed".to_owned(),
    }
}

pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn texts(fields: Vec<(String, Vec<u8>)>) -> Vec<(String, String)> {
    fields.into_iter().map(|(name, value)| (name, text(value))).collect()
}
