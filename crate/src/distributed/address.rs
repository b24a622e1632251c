//! By which address other machines reach this one.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

/// This machine's address on the way to `address`: no packet is sent.
pub fn own_address(address: &str, port: u16) -> std::io::Result<String> {
    let target = (address, port).to_socket_addrs()?.next().ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address")
    })?;
    let is_local = address == "localhost" || address.parse::<IpAddr>().is_ok();
    let own = local_end(target)?;
    if own.is_loopback() && !is_local {
        // Debian gives a machine's own name to 127.0.1.1, where no other machine finds it. The way to
        // anywhere else (an address kept for documentation) tells what others know this one by.
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], port));
        return Ok(local_end(elsewhere).unwrap_or(own).to_string());
    }
    Ok(own.to_string())
}

fn local_end(target: SocketAddr) -> std::io::Result<IpAddr> {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}
