//! `wasi:http`, durable. wasmtime-wasi-http keeps what is pure data; here is what touches the network.
//!
//! A request and its response are an *exchange*: a remote write of several steps (semantics.md §15). `handle` begins it and
//! sends the request beside others; each answer that the guest gets is recorded: the head of the response, the chunks of
//! its body, its trailers. It ends when the guest holds nothing of it any more, at the latest with the invocation.
//!
//! While a worker replays nothing is sent. When nothing is left to replay, an exchange without a recorded response is sent
//! again under the same key, and one with a recorded response only if the guest wants more of it than is recorded; then the
//! response is read again up to the place where the guest stands, and has to be the same up to there. So requests that were
//! in flight together are each taken up by themselves. Where that cannot be done the guest goes back to where the exchange
//! began.
//!
//! * [`exchange`], [`parts`] – what is known of an exchange, and which of its resources the guest holds
//! * [`handle`], [`answer`], [`reading`], [`trailers`] – the steps
//! * [`resume`], [`prefix`], [`late_body`], [`request_body`] – taking up what an earlier life has begun
//! * [`serving`] – a component that serves HTTP, called as a function
//! * [`client`], [`pool`], [`connect`], [`request`], [`incoming_body`], [`trouble`] – the wire
//! * [`form`], [`headers`], [`error_code`] – how answers are recorded

mod answer;
mod client;
mod connect;
mod error_code;
mod exchange;
mod form;
mod handle;
mod headers;
mod incoming_body;
mod late_body;
mod link;
mod parts;
mod pool;
mod prefix;
mod reading;
mod request;
mod request_body;
mod resume;
pub(in crate::host) mod serving;
mod trailers;
mod trouble;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;

pub(crate) use client::Client;
pub(crate) use exchange::Http;
pub(in crate::host) use link::add_to_linker;
pub(in crate::host) use reading::Reading;
pub(crate) use serving::{EXPORTED as HANDLER_EXPORTED, INTERFACE as HANDLER_INTERFACE, handler_signature};

use super::super::HostState;

impl HostState {
    /// Remembers that a pollable waits for an exchange, if the resource belongs to one.
    pub(in crate::host) fn note_pollable(&mut self, pollable: &Resource<DynPollable>, resource: u32) {
        if let Some(id) = self.http.exchange_of(resource) {
            self.http.note_pollable(pollable.rep(), id);
        }
    }
}
