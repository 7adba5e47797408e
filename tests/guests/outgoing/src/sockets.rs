use crate::bindings::wasi::sockets::{
    instance_network::instance_network,
    ip_name_lookup::resolve_addresses,
    network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress},
    tcp_create_socket::create_tcp_socket,
};

pub fn resolve(name: &str) -> Result<Vec<String>, String> {
    let said = |code: ErrorCode| format!("{code:?}");
    let stream = resolve_addresses(&instance_network(), name).map_err(said)?;
    let mut found = Vec::new();
    loop {
        match stream.resolve_next_address() {
            Ok(Some(IpAddress::Ipv4((a, b, c, d)))) => found.push(format!("{a}.{b}.{c}.{d}")),
            Ok(Some(IpAddress::Ipv6(address))) => found.push(format!("{address:?}")),
            Ok(None) => return Ok(found),
            Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
            Err(code) => return Err(said(code)),
        }
    }
}

pub fn connect(port: u16) -> Result<(), String> {
    let said = |code: ErrorCode| format!("{code:?}");
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).map_err(said)?;
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) });
    socket.start_connect(&instance_network(), address).map_err(said)?;
    loop {
        match socket.finish_connect() {
            Ok(_) => return Ok(()),
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            Err(code) => return Err(said(code)),
        }
    }
}
