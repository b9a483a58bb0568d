//! How the program ends when it cannot go on: one sentence for whoever started it, and an exit code. 0: it did what it was
//! asked; 1: the machine does not allow it; 70: a bug (sysexits.h, EX_SOFTWARE); 78: the config, a file or an argument is
//! wrong (EX_CONFIG). What clap says of the command line itself ends with 2.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fs, io,
    net::SocketAddr,
    panic::{PanicHookInfo, UnwindSafe, catch_unwind},
    process::ExitCode,
};

use super::Failure;

/// Why a listener cannot be had, and what to do: by `flag`, which says where it is to be.
pub(super) fn cannot_listen(flag: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let (ip, port) = (address.ip(), address.port());
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = holder(port).map(|holder| format!(" by {holder}")).unwrap_or_default();
            format!("the port is in use{holder}; {flag} {} takes a free one", SocketAddr::new(ip, 0))
        }
        io::ErrorKind::AddrNotAvailable => {
            let all = if ip.is_ipv4() { "0.0.0.0" } else { "[::]" };
            format!("{ip} is no address of this machine; {flag} {all}:{port} listens on all that it has")
        }
        io::ErrorKind::PermissionDenied => {
            let high = SocketAddr::new(ip, if port < 1024 { 8000 + port } else { 0 });
            format!("this user may not listen on port {port}; {flag} {high} needs no permission")
        }
        _ => error.to_string(),
    };
    Failure::system(format!("cannot listen on {address}: {why}"))
}

/// Which program listens on a port, where that is cheaply known: by Linux's /proc, of programs of the same user.
fn holder(port: u16) -> Option<String> {
    // Columns (proc_pid_net(5)): number, local address, remote address, state (0A: listening), …, inode at the tenth place.
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let end = format!(":{port:04X}");
    let inode = tables.iter().flat_map(|table| table.lines()).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let listens = columns.get(1)?.ends_with(&end) && *columns.get(3)? == "0A";
        listens.then(|| format!("socket:[{}]", columns.get(9).unwrap_or(&"")))
    })?;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds =
            open.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == &*inode));
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// From here on a panic is one sentence, wherever it happens: in the log once there is one, else on stderr. With
/// RUST_BACKTRACE=1 the way to it follows.
pub(super) fn say_panics_in_a_sentence() {
    std::panic::set_hook(Box::new(|panic| {
        let sentence = sentence(panic);
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{sentence}");
        } else {
            super::say_error(&sentence);
        }
    }));
}

/// Runs a command; a panic in it, which has been told, is exit code 70.
pub(super) fn guarded(command: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    catch_unwind(command).unwrap_or(ExitCode::from(super::EXIT_BUG))
}

fn sentence(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let said =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let place = panic.location().map(|place| format!(" ({place})")).unwrap_or_default();
    let said = said.unwrap_or("without a word").lines().collect::<Vec<_>>().join(" ");
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("a bug: {said}{place}\n{backtrace}"),
        _ => format!("a bug: {said}{place}; with RUST_BACKTRACE=1 it says how it came there, for a report"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = holder(port).unwrap();
        assert!(said.ends_with(&format!("(process {})", std::process::id())), "{said}");
        drop(listener);
        assert_eq!(holder(port), None);
    }

    #[test]
    fn a_panic_is_an_exit_code() {
        let code = |command: fn() -> ExitCode| format!("{:?}", guarded(command));
        assert_eq!(code(|| ExitCode::from(3)), format!("{:?}", ExitCode::from(3)));
        assert_eq!(code(|| panic!("as a test wants it")), format!("{:?}", ExitCode::from(70)));
    }

    #[test]
    fn a_listener_that_cannot_be_had_is_told_with_what_to_do() {
        let check = |address: &str, kind: io::ErrorKind, want: &str| {
            let failure = cannot_listen("--listen", address.parse().unwrap(), &kind.into());
            assert_eq!(failure.exit, 1);
            assert_eq!(failure.message, want);
        };
        check(
            "192.0.2.1:80",
            io::ErrorKind::AddrNotAvailable,
            "cannot listen on 192.0.2.1:80: 192.0.2.1 is no address of this machine; --listen 0.0.0.0:80 listens on all that it has",
        );
        check(
            "127.0.0.1:80",
            io::ErrorKind::PermissionDenied,
            "cannot listen on 127.0.0.1:80: this user may not listen on port 80; --listen 127.0.0.1:8080 needs no permission",
        );
        check(
            "[::1]:1",
            io::ErrorKind::AddrInUse,
            "cannot listen on [::1]:1: the port is in use; --listen [::1]:0 takes a free one",
        );
    }
}
