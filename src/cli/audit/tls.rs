//! What is looked for in TLS: keys that others read, certificates that end soon, callers whom any certificate makes; and who
//! reaches the operator's listener.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use super::{
    Severity,
    findings::{Found, exposed, finding},
};
use crate::{
    auth::now,
    config::{Clients, Config},
};

/// A certificate that is to be exchanged by now, in seconds before it expires.
const SOON: u64 = 14 * 24 * 60 * 60;

/// What is wrong with the port's certificates, keys and callers by certificate; and with whom it believes about addresses.
pub(super) fn port(config: &Config) -> Found {
    let mut found = Vec::new();
    let upstreams = config.upstreams.iter().filter_map(|it| Some((&it.name, it.client.as_ref()?)));
    let http = config.http_upstreams.iter().filter_map(|it| Some((&it.name, it.client.as_ref()?)));
    for (name, pair) in upstreams.chain(http) {
        found.extend(read_by_others(&format!("upstreams.{name}.client_key"), &pair.key));
    }
    for network in config.proxy_protocol.iter().filter(|network| network.is_everything()) {
        found.push(finding(
            Severity::Critical,
            "connections.proxy_protocol",
            format!(
                "{network} is everybody: whoever connects says from which address it calls, and is believed"
            ),
            "name the balancers' own addresses",
        ));
    }
    let Some(tls) = &config.tls else { return found };
    for (path, pair) in tls.pairs() {
        found.extend(read_by_others(&format!("{path}.key"), &pair.key));
        // Who cannot read it is told so when the gateway starts.
        let Ok(read) = pair.read() else { continue };
        if now().saturating_add(SOON) > read.certificate.not_after {
            found.push(finding(
                Severity::Medium,
                format!("{path}.certificate"),
                "it expires within two weeks: then no client connects any more",
                "renew it; a new one is taken over without a restart",
            ));
        }
    }
    if let Clients::Asked { required: false, .. } = tls.clients
        && config.callers.rules.default.public
    {
        found.push(finding(
            Severity::Low,
            "tls.client_certificates",
            "who shows no certificate is let in, and the upstreams are open to everyone: certificates keep nobody out",
            "take \"required\", or \"authenticated\" for access.default",
        ));
    }
    let grants = config.callers.certificates.iter().flat_map(|callers| &callers.grants);
    for (index, grant) in grants.enumerate().filter(|(_, grant)| grant.pattern.is_everything()) {
        if !grant.roles.is_empty() || !grant.permissions.is_empty() {
            found.push(finding(
                if grant.roles.iter().any(|role| **role == *"admin") {
                    Severity::High
                } else {
                    Severity::Low
                },
                format!("auth.certificates[{index}].match"),
                "whoever has any certificate of the authority has these roles and permissions",
                "name who is meant",
            ));
        }
    }
    found
}

/// The operator's listener, where others than this machine reach it.
pub(super) fn operators_listener(config: &Config) -> Found {
    let Some(admin) = config.admin.filter(|admin| !admin.ip().is_loopback()) else { return Vec::new() };
    let severity =
        if exposed(config) && admin.ip() == config.listen.ip() { Severity::Medium } else { Severity::Low };
    vec![finding(
        severity,
        "admin.listen",
        format!(
            "{admin} speaks plain text, and whoever reaches it reads the routing table with the addresses of the upstreams"
        ),
        "an address that only probes and operators reach, or a port of this machine alone",
    )]
}

fn read_by_others(key: &str, file: &Path) -> Found {
    let Ok(found) = std::fs::metadata(file) else { return Vec::new() };
    let mode = found.permissions().mode();
    if mode & 0o004 == 0 {
        return Vec::new();
    }
    vec![finding(
        Severity::High,
        key,
        format!("every user of the machine may read the private key {}", file.display()),
        "chmod o-r",
    )]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::config::Config;

    #[test]
    fn each_weakness_of_tls_is_found_with_its_key() {
        use Severity::{Critical, High, Low, Medium};
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, days: i64, mode: u32| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            let until =
                std::time::SystemTime::now() + std::time::Duration::from_secs(86_400 * days.unsigned_abs());
            params.not_after = until.into();
            let path = |end: &str| folder.path().join(format!("{name}.{end}"));
            fs::write(path("crt"), params.self_signed(&key).unwrap().pem()).unwrap();
            fs::write(path("key"), key.serialize_pem()).unwrap();
            fs::set_permissions(path("key"), fs::Permissions::from_mode(mode)).unwrap();
        };
        put("good", 100, 0o600);
        put("soon", 3, 0o640);
        put("open", 100, 0o644);
        let audit = |text: &str| {
            let config = Config::parse(text, folder.path()).unwrap();
            let found = port(&config).into_iter().chain(operators_listener(&config));
            found.map(|found| (found.severity, found.key)).collect::<Vec<_>>()
        };
        let tls = |name: &str| format!("[tls]\ncertificate = \"{name}.crt\"\nkey = \"{name}.key\"\n");
        let check = |text: &str, want: &[(Severity, &str)]| {
            let found = audit(text);
            let found: Vec<_> = found.iter().map(|(severity, key)| (*severity, key.as_str())).collect();
            assert_eq!(found, want, "{text}");
        };
        check("", &[]);
        check(&tls("good"), &[]);
        check(&tls("soon"), &[(Medium, "tls.certificate")]);
        check(&tls("open"), &[(High, "tls.key")]);
        let others = "[[tls.certificates]]\ncertificate = \"open.crt\"\nkey = \"open.key\"\n";
        check(&format!("{}{others}", tls("good")), &[(High, "tls.certificates[0].key")]);
        let optional = "client_certificates = \"optional\"\nclient_ca = \"good.crt\"\n";
        let public = "[access]\ndefault = \"public\"\n";
        check(&format!("{}{optional}", tls("good")), &[]);
        check(&format!("{}{optional}{public}", tls("good")), &[(Low, "tls.client_certificates")]);
        let everybody =
            |roles: &str| format!("{}{optional}[[auth.certificates]]\nmatch = \"*\"\n{roles}", tls("good"));
        check(&everybody("tier = \"elite\""), &[]);
        check(&everybody("roles = [\"shop\"]"), &[(Low, "auth.certificates[0].match")]);
        check(&everybody("roles = [\"admin\"]"), &[(High, "auth.certificates[0].match")]);
        check("[admin]\nlisten = \"9901\"", &[]);
        check("[admin]\nlisten = \"10.0.0.1:9901\"", &[(Low, "admin.listen")]);
        check(
            "[gateway]\nlisten = \"0.0.0.0:80\"\n[admin]\nlisten = \"0.0.0.0:9901\"",
            &[(Medium, "admin.listen")],
        );
        check("[connections]\nproxy_protocol = [\"0.0.0.0/0\"]", &[(Critical, "connections.proxy_protocol")]);
        check("[connections]\nproxy_protocol = [\"10.0.0.0/8\"]", &[]);
    }
}
