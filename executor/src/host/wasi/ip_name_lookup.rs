//! `wasi:sockets/ip-name-lookup`: what a name resolves to is recorded. Names and addresses that the guest may not reach are
//! not told.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
};

use kiln_proto::v1::{ResultValue, Value, value::Kind};
use tokio::net::lookup_host;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::{
    DynPollable, Network, Pollable,
    bindings::sockets::network::{ErrorCode, IpAddress},
    subscribe,
};

use crate::{
    host::{
        HostState,
        durable::Begun,
        payload::{list_of, string, text_of, texts_of},
    },
    replay::Kind as CallKind,
};

const INTERFACE: &str = "wasi:sockets/ip-name-lookup@0.2.12";
const RESOLVE: &str = "sockets::ip_name_lookup::resolve_addresses";
/// Most addresses of one name.
const ADDRESSES_MAX: usize = 64;
/// Longest name, which is more than the domain name system allows.
const NAME_BYTES_MAX: usize = 255;

/// `resolve-address-stream`: all addresses are there from the start.
struct Addresses(VecDeque<IpAddr>);

#[async_trait::async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {}
}

/// Replaces the interface of wasmtime-wasi. Shadowing has to be allowed.
pub(in crate::host) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance(INTERFACE)?;
    let ty = ResourceType::host::<Addresses>();
    lookup.resource("resolve-address-stream", ty, |mut store, rep| {
        let state: &mut HostState = store.data_mut();
        state.table.delete(Resource::<Addresses>::new_own(rep))?;
        Ok(())
    })?;
    lookup.func_wrap_async(
        "resolve-addresses",
        |mut store, (_network, name): (Resource<Network>, String)| {
            Box::new(async move { Ok((store.data_mut().resolve_addresses(name).await?,)) })
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store, (stream,): (Resource<Addresses>,)| {
            let addresses = store.data_mut().table.get_mut(&stream)?;
            let next = addresses.0.pop_front().map(IpAddress::from);
            Ok((Ok::<_, ErrorCode>(next),))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store, (stream,): (Resource<Addresses>,)| -> wasmtime::Result<(Resource<DynPollable>,)> {
            Ok((subscribe(&mut store.data_mut().table, stream)?,))
        },
    )
}

impl HostState {
    async fn resolve_addresses(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Addresses>, ErrorCode>> {
        if name.len() > NAME_BYTES_MAX {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        let recorded = match self.begin(RESOLVE, CallKind::ReadRemote, string(&name)).await? {
            Begun::Recorded(value) => value,
            Begun::New(call) => {
                let found = self.look_up_name(&name).await;
                self.end(call, value_of(&found)).await?
            }
        };
        match addresses_of(recorded) {
            Ok(addresses) => Ok(Ok(self.table.push(Addresses(addresses.into()))?)),
            Err(code) => Ok(Err(code)),
        }
    }

    async fn look_up_name(&mut self, name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
        let egress = self.egress().clone();
        if !egress.allows_host(name) {
            return Err(ErrorCode::AccessDenied);
        }
        let found: Vec<SocketAddr> = lookup_host((name, 0))
            .await
            .map_err(|_| ErrorCode::NameUnresolvable)?
            .take(ADDRESSES_MAX)
            .collect();
        if found.is_empty() {
            return Err(ErrorCode::NameUnresolvable);
        }
        let open: Vec<IpAddr> = found
            .into_iter()
            .filter(|address| egress.check_address(*address).is_ok())
            .map(|address| address.ip())
            .collect();
        if open.is_empty() {
            Err(ErrorCode::AccessDenied)
        } else {
            Ok(open)
        }
    }
}

fn value_of(found: &Result<Vec<IpAddr>, ErrorCode>) -> Value {
    let (is_error, payload) = match found {
        Ok(addresses) => (
            false,
            list_of(addresses.iter().map(|address| string(&address.to_string()))),
        ),
        Err(code) => (true, string(name_of(*code))),
    };
    Value {
        kind: Some(Kind::Result(Box::new(ResultValue {
            is_error,
            payload: Some(Box::new(payload)),
        }))),
    }
}

fn addresses_of(value: Value) -> Result<Vec<IpAddr>, ErrorCode> {
    let Some(Kind::Result(result)) = value.kind else {
        return Err(ErrorCode::Unknown);
    };
    let payload = result.payload.map(|payload| *payload).unwrap_or_default();
    if result.is_error {
        return Err(code_of(&text_of(payload).unwrap_or_default()));
    }
    let texts = match payload.kind {
        Some(Kind::List(list)) => texts_of(list.values),
        _ => Vec::new(),
    };
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// The codes that a look-up ends with.
const CODES: [(&str, ErrorCode); 2] = [
    ("access-denied", ErrorCode::AccessDenied),
    ("name-unresolvable", ErrorCode::NameUnresolvable),
];

fn name_of(code: ErrorCode) -> &'static str {
    let named = CODES.iter().find(|(_, known)| *known == code);
    named.map_or("unknown", |(name, _)| name)
}

fn code_of(name: &str) -> ErrorCode {
    let known = CODES.iter().find(|(known, _)| *known == name);
    known.map_or(ErrorCode::Unknown, |(_, code)| *code)
}
