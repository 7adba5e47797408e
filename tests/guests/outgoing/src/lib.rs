//! Sends requests, and answers them.

#[rustfmt::skip]
mod bindings;

mod exchange;
mod incoming;
mod sockets;

use bindings::{
    exports::test::outgoing::api::{Guest, Response, TimeOuts},
    golem::api::host,
};
use exchange::{Exchange, Request};

struct Outgoing;

impl Guest for Outgoing {
    fn fetch(
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        body: Option<String>,
    ) -> Result<Response, String> {
        Request { method, url, headers, body, ..Request::default() }.send()?.response()
    }

    fn download(url: String, at_once: u64) -> Result<String, String> {
        Request::get(url).send()?.body_by_poll(at_once)
    }

    fn tail(url: String, skipped: u64) -> Result<String, String> {
        Request::get(url).send()?.body_after(skipped)
    }

    fn upload(url: String, size: u64) -> Result<Response, String> {
        exchange::upload(url, size)?.response()
    }

    fn parallel(urls: Vec<String>) -> Vec<Result<String, String>> {
        let sent: Vec<Result<Exchange, String>> = urls.into_iter().map(|url| Request::get(url).send()).collect();
        exchange::wait_for_all(&sent);
        sent.into_iter().map(|sent| sent?.response().map(|response| response.body)).collect()
    }

    fn trailers(url: String) -> Result<Vec<(String, String)>, String> {
        Request { headers: vec![("te".into(), "trailers".into())], ..Request::get(url) }.send()?.trailers()
    }

    fn within(url: String, time_outs: TimeOuts) -> Result<Response, String> {
        Request { time_outs: Some(time_outs), ..Request::get(url) }.send()?.response()
    }

    fn forget(url: String) -> Result<u16, String> {
        Request::get(url).send()?.forget()
    }

    fn twice(url: String) -> Result<String, String> {
        let post = |body: &str| {
            let request = Request { method: "POST".into(), url: url.clone(), body: Some(body.into()), ..Request::default() };
            request.send()?.response()
        };
        Ok(format!("{} {}", post("one")?.body, post("two")?.body))
    }

    fn post(url: String, idempotent: bool) -> Result<String, String> {
        host::set_idempotence_mode(idempotent);
        let sent = Request { method: "POST".into(), url, body: Some("once".into()), ..Request::default() }.send();
        host::set_idempotence_mode(true);
        Ok(sent?.response()?.body)
    }

    fn resolve(name: String) -> Result<Vec<String>, String> {
        sockets::resolve(&name)
    }

    fn connect(port: u16) -> Result<(), String> {
        sockets::connect(port)
    }
}

bindings::export!(Outgoing with_types_in bindings);
