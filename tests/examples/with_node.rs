//! Runs a program beside a real node with VMs: each word `{url}` becomes the address at which the node's socket is reached
//! by TCP. Ends as the program does.

use garant_tests::{garantd::Garantd, swtpm::Swtpm, vms::Images};
use std::{
    env, io,
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

fn main() -> ExitCode {
    let (Some(tpm), Some(images)) = (Swtpm::provisioned("sha256"), Images::build()) else { return ExitCode::SUCCESS };
    let node = Garantd::start(&tpm.address(), &images.options());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let socket = node.socket();
    thread::spawn(move || listener.incoming().flatten().for_each(|client| carry(client, socket.clone())));
    let words: Vec<String> = env::args().skip(1).map(|word| word.replace("{url}", &url)).collect();
    let (program, words) = words.split_first().expect("a program to run");
    let status = Command::new(program).args(words).status().expect("the program starts");
    let is_alive = UnixStream::connect(node.socket()).is_ok() && node.log().matches("server locked in").count() == 1;
    if !is_alive {
        println!("the node's server ended meanwhile; its log:\n{}", node.log());
    }
    if status.success() && is_alive { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Carries bytes between a client and the node's socket, both ways, until both have ended.
fn carry(client: TcpStream, socket: PathBuf) {
    thread::spawn(move || {
        let node = UnixStream::connect(Path::new(&socket)).ok()?;
        let (mut from_client, mut to_node) = (client.try_clone().ok()?, node.try_clone().ok()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_node);
            let _ = to_node.shutdown(Shutdown::Write);
        });
        let (mut from_node, mut to_client) = (node, client);
        let _ = io::copy(&mut from_node, &mut to_client);
        to_client.shutdown(Shutdown::Both).ok()
    });
}
