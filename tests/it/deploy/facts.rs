//! One file against another, and all against what is demanded of a deployment: names that lead somewhere, ports that are the
//! config's, time enough to drain, and no right that is not needed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    compose, config_of_compose, config_of_the_cluster, document, documents, manifest, manifests, names, texts,
};
use crate::support::tools::package;

/// `"40s"` or `"1m"`, in seconds.
fn seconds(time: &str) -> u64 {
    let (number, unit) = time.split_at(time.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        other => panic!("{other} is no unit of {time}"),
    };
    number.parse::<u64>().unwrap() * unit
}

/// How long a gateway of a config may take to stop, in seconds; the defaults are those of the example.
fn to_drain(config: &str) -> u64 {
    let config: toml::Table = config.parse().unwrap();
    let of = |key: &str, default| {
        config["gateway"].get(key).map_or(default, |time| seconds(time.as_str().unwrap()))
    };
    of("drain_delay", 0) + of("drain", 30)
}

fn port(config: &str, section: &str) -> u64 {
    let config: toml::Table = config.parse().unwrap();
    let listen = config[section]["listen"].as_str().unwrap();
    let (host, port) = listen.rsplit_once(':').unwrap();
    // On loopback nobody would reach it.
    assert_eq!(host, "0.0.0.0", "{section}");
    port.parse().unwrap()
}

fn deployment() -> Option<(Value, Value)> {
    let pod = manifest("deployment")?["spec"]["template"]["spec"].take();
    let container = pod["containers"][0].clone();
    Some((pod, container))
}

#[test]
fn the_ports_of_manifests_are_those_of_the_config() {
    let (Some(config), Some((_, container)), Some(service), Some(policy)) =
        (config_of_the_cluster(), deployment(), manifest("service"), manifest("networkpolicy"))
    else {
        return;
    };
    let (public, admin) = (port(&config, "gateway"), port(&config, "admin"));
    let want =
        json!([{ "name": "public", "containerPort": public }, { "name": "admin", "containerPort": admin }]);
    assert_eq!(container["ports"], want);
    for probe in ["startupProbe", "readinessProbe"] {
        // Of the whole server: its services follow it, and what a probe names must not go away with a reload.
        assert_eq!(container[probe]["grpc"], json!({ "port": admin }), "{probe}");
    }
    // No service of grpc.health.v1 says that the process lives whatever its stores do.
    assert_eq!(container["livenessProbe"]["httpGet"], json!({ "path": "/livez", "port": "admin" }));
    let ports = service["spec"]["ports"].as_array().unwrap();
    assert!(ports.iter().all(|port| port["targetPort"] == "public"), "{ports:?}");
    let spoken: Vec<_> = ports.iter().map(|port| port["appProtocol"].as_str().unwrap()).collect();
    assert_eq!(spoken, ["http", "kubernetes.io/h2c"]);
    // The admin port is not open to everybody.
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    let open: Vec<_> = rules.iter().filter(|rule| rule.get("from").is_none()).collect();
    assert_eq!(open, [&json!({ "ports": [{ "port": "public" }] })]);
}

#[test]
fn a_stop_has_the_time_that_its_drain_may_take() {
    let (Some(config), Some((pod, _)), Some(compose)) = (config_of_the_cluster(), deployment(), compose())
    else {
        return;
    };
    let given = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(given > to_drain(&config) + 5, "{given} s");
    // A replica is taken out of the endpoints before it stops taking calls.
    assert!(config.contains("drain_delay = "));
    let given = seconds(compose["services"]["gateway"]["stop_grace_period"].as_str().unwrap());
    assert!(given > to_drain(&config_of_compose()) + 5, "{given} s");
}

#[test]
fn a_pod_has_no_right_that_it_does_not_need() {
    let (Some((pod, container)), Some(account)) = (deployment(), manifest("serviceaccount")) else { return };
    // The restricted profile of the Pod Security Standards, and a file system that is not written.
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let want = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(container["securityContext"], want);
    assert_eq!(
        (&pod["enableServiceLinks"], &pod["automountServiceAccountToken"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(account["automountServiceAccountToken"], false);
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    for which in ["requests", "limits"] {
        assert_eq!(names(&container["resources"][which]), ["cpu", "memory"], "{which}");
    }
    // The image's user, who may read the secrets as one of a group.
    let dockerfile = super::text("Dockerfile");
    let user = pod["securityContext"]["runAsUser"].as_u64().unwrap();
    assert!(dockerfile.contains(&format!("USER {user}:{user}\n")));
    assert_eq!(
        (pod["securityContext"]["fsGroup"].as_u64(), pod["securityContext"]["runAsGroup"].as_u64()),
        (Some(user), Some(user))
    );
}

#[test]
fn a_pod_gets_the_config_and_the_secrets_that_it_names() {
    let (Some(config), Some((pod, container)), Some(example)) =
        (config_of_the_cluster(), deployment(), manifest("secret.example"))
    else {
        return;
    };
    let mount = &container["volumeMounts"][0];
    // A file alone would not change with its ConfigMap.
    assert!(mount.get("subPath").is_none());
    assert_eq!(mount["name"], pod["volumes"][0]["name"]);
    let file = format!("{}/propylon.toml", mount["mountPath"].as_str().unwrap());
    assert_eq!(texts(&container["args"]), ["serve", "--config", &file]);
    let sources = &pod["volumes"][0]["projected"]["sources"];
    assert_eq!(
        Some(&sources[0]["configMap"]["name"]),
        manifest("configmap").as_ref().map(|map| &map["metadata"]["name"])
    );
    assert_eq!(sources[1]["secret"]["name"], example["metadata"]["name"]);
    let mut keys = BTreeSet::new();
    for item in sources[1]["secret"]["items"].as_array().unwrap() {
        let path = item["path"].as_str().unwrap();
        assert!(config.contains(&format!("{{ file = \"{path}\" }}")), "{path} is named nowhere");
        keys.insert(item["key"].as_str().unwrap());
    }
    assert_eq!(config.matches("file = ").count(), keys.len());
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), {
        let mut names = names(&example["stringData"]);
        names.sort_unstable();
        names
    });
}

#[test]
fn all_manifests_are_of_one_deployment_and_are_applied() {
    let files = manifests();
    let paths: Vec<_> = files.iter().map(|name| format!("deploy/kubernetes/{name}.yaml")).collect();
    let (Some(all), Some(kustomization)) = (
        documents(&paths.iter().map(String::as_str).collect::<Vec<_>>()),
        document("deploy/kubernetes/kustomization.yaml"),
    ) else {
        return;
    };
    assert_eq!(all.len(), files.len());
    let mut applied: Vec<_> =
        texts(&kustomization["resources"]).into_iter().map(|file| file.trim_end_matches(".yaml")).collect();
    applied.sort_unstable();
    assert_eq!(applied, files);
    let labels = json!({ "app.kubernetes.io/name": "propylon" });
    for one in &all {
        assert_eq!(one["metadata"], json!({ "name": "propylon", "labels": labels }), "{}", one["kind"]);
    }
    let of = |kind: &str| all.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    let deployment = &of("Deployment")["spec"];
    for selector in [
        &deployment["template"]["metadata"]["labels"],
        &deployment["selector"]["matchLabels"],
        &deployment["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        &of("Service")["spec"]["selector"],
        &of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(*selector, labels);
    }
    let scaler = &of("HorizontalPodAutoscaler")["spec"];
    assert_eq!(
        scaler["scaleTargetRef"],
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "propylon" })
    );
    // One may always go, and a rollout takes none away.
    let replicas = deployment["replicas"].as_u64().unwrap();
    assert!(replicas >= 2 && scaler["minReplicas"].as_u64() == Some(replicas));
    assert_eq!(of("PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    assert_eq!(deployment["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
}

#[test]
fn the_containers_of_compose_can_do_little_and_are_bounded() {
    let Some(compose) = compose() else { return };
    for name in names(&compose["services"]) {
        let service = &compose["services"][name];
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        assert_eq!(names(&service["deploy"]["resources"]["limits"]), ["cpus", "memory", "pids"], "{name}");
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is published to others by {port}");
        }
        // The gateway's image has its own, and these two have nothing to ask with.
        let asked = !["gateway", "collector", "jaeger"].contains(&name);
        assert_eq!(service.get("healthcheck").is_some(), asked, "{name}");
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let secret =
                variable.contains("PASSWORD") || variable.contains("SECRET") || variable.contains("TOKEN");
            assert!(!secret || value.as_str().unwrap().starts_with("/run/secrets/"), "{name}: {variable}");
        }
    }
    assert_eq!(compose["services"]["gateway"]["deploy"]["replicas"], 2);
    assert_eq!(compose["networks"]["stores"]["internal"], true);
}

#[test]
fn what_compose_names_is_there() {
    let Some(compose) = compose() else { return };
    let mut used: [BTreeSet<String>; 3] = Default::default();
    for name in names(&compose["services"]) {
        let service = &compose["services"][name];
        for on in names(&service["depends_on"]) {
            let other = &compose["services"][on];
            assert!(other.is_object(), "{name} waits for {on}");
            let healthy = service["depends_on"][on]["condition"] == "service_healthy";
            assert_eq!(healthy, other.get("healthcheck").is_some(), "{name} waits for {on}");
        }
        for volume in texts(&service["volumes"]) {
            let from = volume.split(':').next().unwrap();
            match from.strip_prefix("./") {
                Some(path) => {
                    assert!(package().join(path).exists() && volume.ends_with(":ro"), "{name}: {volume}");
                }
                None => drop(used[0].insert(from.to_owned())),
            }
        }
        for (kind, key) in [(1, "networks"), (2, "secrets")] {
            used[kind].extend(texts(&service[key]).into_iter().map(str::to_owned));
        }
        for (_, value) in service["environment"].as_object().into_iter().flatten() {
            if let Some(secret) = value.as_str().and_then(|value| value.strip_prefix("/run/secrets/")) {
                assert!(texts(&service["secrets"]).contains(&secret), "{name}: {secret}");
            }
        }
    }
    for (used, key) in used.iter().zip(["volumes", "networks", "secrets"]) {
        let defined: BTreeSet<_> = names(&compose[key]).into_iter().map(str::to_owned).collect();
        assert_eq!(*used, defined, "{key}");
    }
    // What the gateway's config reads is what the gateway is given.
    let config = config_of_compose();
    let given = texts(&compose["services"]["gateway"]["secrets"]);
    assert_eq!(config.matches("/run/secrets/").count(), given.len());
    for secret in given {
        assert!(config.contains(&format!("{{ file = \"/run/secrets/{secret}\" }}")), "{secret}");
    }
}

#[test]
fn what_watches_the_gateways_is_told_where_they_are() {
    let (Some(compose), Some(prometheus), Some(collector), Some(jaeger), Some(grafana)) = (
        compose(),
        document("deploy/compose/prometheus.yml"),
        document("deploy/compose/collector.yaml"),
        document("deploy/compose/jaeger.yaml"),
        document("deploy/compose/grafana/datasources/datasources.yaml"),
    ) else {
        return;
    };
    let config = config_of_compose();
    let gateway = &compose["services"]["gateway"];
    let published: Vec<_> = texts(&gateway["ports"])[0].rsplit(':').collect();
    assert_eq!(published[0], port(&config, "gateway").to_string());
    // A port for each replica.
    let (first, last) = published[1].split_once('-').unwrap();
    let count = last.parse::<u64>().unwrap() - first.parse::<u64>().unwrap() + 1;
    assert_eq!(Some(count), gateway["deploy"]["replicas"].as_u64());
    let scraped = &prometheus["scrape_configs"][0];
    let found = &scraped["dns_sd_configs"][0];
    assert_eq!((&found["names"], &found["port"]), (&json!(["gateway"]), &json!(port(&config, "admin"))));
    assert_eq!(scraped["metrics_path"], "/metrics");
    // HOST:PORT, whether or not it begins with http://: a service of compose, on a network of the caller's.
    let reaches = |from: &str, address: &str| {
        let address = address.trim_start_matches("http://");
        let (host, _) = address.split_once(':').unwrap();
        let networks = texts(&compose["services"][host]["networks"]);
        let shared = texts(&compose["services"][from]["networks"]).iter().any(|one| networks.contains(one));
        assert!(shared, "{from} does not reach {address}");
        address.to_owned()
    };
    let exported =
        reaches("gateway", gateway["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"].as_str().unwrap());
    let taken = &collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"];
    assert_eq!(exported.split(':').nth(1), taken.as_str().unwrap().split(':').nth(1));
    let passed_on =
        reaches("collector", collector["exporters"]["otlp_grpc/jaeger"]["endpoint"].as_str().unwrap());
    let taken = &jaeger["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"];
    assert_eq!(passed_on.split(':').nth(1), taken.as_str().unwrap().split(':').nth(1));
    for source in grafana["datasources"].as_array().unwrap() {
        reaches("grafana", source["url"].as_str().unwrap());
    }
    let kinds: Vec<_> = grafana["datasources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["prometheus", "jaeger"]);
    reaches("prometheus", "gateway:9090");
    for (name, file) in [("collector", &collector), ("jaeger", &jaeger)] {
        let pipelines = file["service"]["pipelines"].as_object().unwrap();
        for (part, used) in pipelines.values().flat_map(|pipeline| pipeline.as_object().unwrap()) {
            for one in texts(used) {
                assert!(file[part.as_str()].get(one).is_some(), "{name} has no {one} among its {part}");
            }
        }
        for one in texts(&file["service"]["extensions"]) {
            assert!(file["extensions"].get(one).is_some(), "{name} has no extension {one}");
        }
    }
    let storage = &jaeger["exporters"]["jaeger_storage_exporter"]["trace_storage"];
    assert_eq!(*storage, jaeger["extensions"]["jaeger_query"]["storage"]["traces"]);
    assert!(jaeger["extensions"]["jaeger_storage"]["backends"].get(storage.as_str().unwrap()).is_some());
}
