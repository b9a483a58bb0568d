//! `propylon health`: asks a server's `grpc.health.v1` whether it serves, and says so by its exit code: all that a
//! container's HEALTHCHECK needs.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use tokio::runtime::Builder;
use tonic::Code;

use super::{Failure, asked, say, trust::Trust};
use crate::{
    config::{Address, Config, time, upstream_address},
    dispatch::{self, Roots},
    proto::grpc_health_v1::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus},
};

#[derive(Debug, Args)]
pub(super) struct Health {
    /// Whom to ask: HOST:PORT, http://HOST:PORT or https://HOST:PORT; the config's listen address when left out
    #[arg(value_name = "ADDR")]
    address: Option<String>,
    /// The service to ask about, by its full name; the server as a whole when left out
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,
    /// How long the answer may take
    #[arg(long, value_name = "TIME", default_value = "3s")]
    timeout: String,
    /// The config file that says where the gateway listens
    #[arg(long, value_name = "FILE", conflicts_with = "address")]
    config: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

/// Says what was found, on one line; the exit code is 0 for SERVING alone, and 1 whatever else it is.
pub(super) fn run(arguments: &Health) -> Result<ExitCode, Failure> {
    ask(arguments).map_err(|failure| Failure::system(failure.message))
}

fn ask(arguments: &Health) -> Result<ExitCode, Failure> {
    let (address, roots) = match &arguments.address {
        Some(text) if text.parse::<u16>().is_ok() => {
            let why = format!("{text} is a port alone: did you mean {}:{text}?", Ipv4Addr::LOCALHOST);
            return Err(Failure::config(why));
        }
        Some(text) => {
            let address = upstream_address(text).map_err(Failure::config)?;
            arguments.trust.apply(address, text)?
        }
        None => {
            let config = asked::config(arguments.config.as_deref())?;
            let address = listened(&config);
            let roots = match config.tls.as_ref().filter(|_| address.tls) {
                Some(tls) => arguments.trust.of_config(tls)?,
                None => Roots::Native,
            };
            (address, roots)
        }
    };
    let timeout = time(&arguments.timeout).map_err(|why| Failure::config(format!("--timeout: {why}")))?;
    let client = asked::client(&address, roots).map_err(Failure::config)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::system)?;
    let question = HealthCheckRequest { service: arguments.service.clone() };
    let asking =
        dispatch::ask::<HealthCheckResponse>(&client, "/grpc.health.v1.Health/Check", &question, timeout);
    let found = runtime.block_on(asking);
    runtime.shutdown_background();
    let (words, serves) = match found {
        Ok(answer) => (answer.status().as_str_name().to_owned(), answer.status() == ServingStatus::Serving),
        Err(status) if status.code() == Code::NotFound => {
            (format!("{address} has no service {:?}", arguments.service), false)
        }
        Err(status) => (asked::said(&status, &address), false),
    };
    say(&words);
    Ok(if serves { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where a gateway of this config is reached from the same machine: by its operator's listener, where it has one.
fn listened(config: &Config) -> Address {
    let admin = config.admin.filter(|admin| admin.port() != 0);
    let (listen, tls) = admin.map_or((config.listen, config.tls.is_some()), |admin| (admin, false));
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Address { tls, host: ip.to_string(), port: listen.port() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_on_every_address_is_asked_on_loopback() {
        let check = |listen: &str, want: &str| {
            let config = Config { listen: listen.parse().unwrap(), ..Config::default() };
            assert_eq!(listened(&config).to_string(), want);
        };
        check("0.0.0.0:80", "http://127.0.0.1:80");
        check("[::]:8080", "http://[::1]:8080");
        check("10.0.0.1:8080", "http://10.0.0.1:8080");
        let admin = Some("0.0.0.0:9901".parse().unwrap());
        assert_eq!(listened(&Config { admin, ..Config::default() }).to_string(), "http://127.0.0.1:9901");
    }
}
