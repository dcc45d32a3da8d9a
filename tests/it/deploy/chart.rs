//! The Helm chart: rendered, compared with the schemas of Kubernetes, and prepared as a pod prepares itself, so that the
//! program itself says whether it takes the configuration.

use std::process::Output;

use ledger_tests::tools::{answer, printed, schema_location, tool};
use ledger_tests::{python, scratch, server};
use serde_json::Value;

use super::path;

const KUBERNETES: &str = "1.37.0";

/// A value for every setting of the chart.
const EVERYTHING: &str = r#"
image: { tag: "7" }
imagePullSecrets: [{ name: registry }]
replicas: 3
kafka: { brokers: "kafka-0:9092,kafka-1:9092" }
config: |
  memory = "1GiB"
  [kafka]
  topics = ["realm.lifecycle"]
  group = "{{ .Release.Name }}-group"
  [kafka.client]
  "security.protocol" = "sasl_ssl"
secrets:
  ledgerSecret: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=
  signingKeys: |
    a-key-of-the-ledger
  tokens: |
    [[access.token]]
    name = "support"
    sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    scopes = ["read"]
    apps = ["*"]
  environment: [kafka-password]
persistence: { storageClass: fast, backup: 10Gi }
service: { type: LoadBalancer, annotations: { a: b } }
gateway: { port: 8082 }
global: { region: eu }
networkPolicy:
  hooks: [{ namespaceSelector: { matchLabels: { name: ingress } } }]
  clients: [{ namespaceSelector: { matchLabels: { team: support } } }]
  monitoring: [{ namespaceSelector: { matchLabels: { name: monitoring } } }]
  kafka: { ports: [9092, 9093], peers: [{ ipBlock: { cidr: 10.0.0.0/8 } }] }
  egress: [{ ports: [{ protocol: TCP, port: 443 }] }]
serviceMonitor: { enabled: true, labels: { release: prometheus } }
volumes: [{ name: tls, secret: { secretName: tls } }]
volumeMounts: [{ name: tls, mountPath: /etc/tls }]
podAnnotations: { a: b }
podLabels: { team: ledger }
nodeSelector: { disk: fast }
tolerations: [{ key: ledger, operator: Exists }]
affinity: { nodeAffinity: {} }
"#;

/// Those who may ask are named in the configuration alone: by an issuer, and by a certificate.
const ISSUER: &str = r#"
kafka: { brokers: "kafka:9092" }
config: |
  [[access.issuer]]
  issuer = "https://id.example.com"
  audience = "{{ .Release.Name }}"
  jwks = "https://id.example.com/keys"
  algorithms = ["RS256"]
"#;
const CERTIFICATE: &str = r#"
kafka: { brokers: "kafka:9092" }
config: |
  [http.tls]
  certificate = "/etc/tls/tls.crt"
  key = "/etc/tls/tls.key"
  client_ca = "/etc/tls/ca.crt"
  [[ access.certificate ]]
  name = "support"
  sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
  scopes = ["read"]
  apps = ["*"]
volumes: [{ name: tls, secret: { secretName: tls } }]
volumeMounts: [{ name: tls, mountPath: /etc/tls }]
"#;

const FEWEST: &str = "{ kafka: { brokers: 'kafka:9092' }, open: true }";

fn render(values: &str) -> Output {
    let mut command = tool("helm");
    command.args(["template", "ledger"]).arg(path("helm"));
    command.args(["--kube-version", KUBERNETES, "--namespace", "ledgers", "--values", "-"]);
    answer(command, values)
}

fn rendered(values: &str) -> String {
    let output = render(values);
    assert!(output.status.success(), "{}", printed(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn kubeconform(manifests: &str) -> Output {
    let mut command = tool("kubeconform");
    command.args(["-strict", "-summary", "-kubernetes-version", KUBERNETES]);
    command.args(["-schema-location", &schema_location(), "-"]);
    answer(command, manifests)
}

/// The settings that are in force in the first pod of these values, and where each comes from.
fn settings(values: &str) -> Vec<Value> {
    let scratch = scratch::directory();
    let mut pod = python::deploy_script("pod.py");
    pod.arg(server::program()).arg(scratch.path());
    let output = answer(pod, &rendered(values));
    assert!(output.status.success(), "{}", printed(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn value<'s>(settings: &'s [Value], key: &str) -> &'s str {
    let setting = settings.iter().find(|setting| setting["setting"] == key);
    setting.unwrap()["value"].as_str().unwrap()
}

#[test]
fn chart_has_no_fault_for_helm() {
    let mut command = tool("helm");
    command.args(["lint", "--strict"]).arg(path("helm"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
}

#[test]
fn manifests_fit_the_schemas_of_kubernetes() {
    for (values, resources) in [(FEWEST, 7), (EVERYTHING, 8)] {
        let output = kubeconform(&rendered(values));
        let printed = printed(&output);
        assert!(output.status.success(), "{printed}");
        let all = format!("Valid: {resources}, Invalid: 0, Errors: 0, Skipped: 0");
        assert!(printed.contains(&all), "{printed}");
    }
    for (what, fault) in [("serviceName:", "serviceNames:"), ("interval:", "intervall:")] {
        let output = kubeconform(&rendered(EVERYTHING).replacen(what, fault, 1));
        assert!(!output.status.success(), "{fault} is not found: {}", printed(&output));
    }
}

#[test]
fn program_takes_the_configuration_of_a_pod() {
    let fewest = settings(FEWEST);
    for (key, expected) in [
        ("kafka.brokers", "\"kafka:9092\""),
        ("access.open", "true"),
        ("kafka.instance", "\"ledger-realm-ledger-0\""),
    ] {
        assert_eq!(value(&fewest, key), expected, "{key}");
    }
    let all = settings(EVERYTHING);
    for (key, expected) in [
        ("kafka.group", "\"ledger-group\""),
        ("memory", "\"1GiB\""),
        ("kafka.client.\"security.protocol\"", "\"sasl_ssl\""),
        ("kafka.instance", "\"ledger-realm-ledger-0\""),
        ("access.open", "false"),
        ("http.listen", "\"0.0.0.0:8080\""),
        ("gateway.listen", "\"0.0.0.0:8082\""),
    ] {
        assert_eq!(value(&all, key), expected, "{key}");
    }
    assert_ne!(value(&fewest, "gateway.listen"), "\"0.0.0.0:8082\"");
    for (values, key, expected) in [
        (ISSUER, "access.issuer", "audience = \"ledger\""),
        (CERTIFICATE, "access.certificate", "name = \"support\""),
    ] {
        let named = settings(values);
        assert!(
            value(&named, key).contains(expected) && value(&named, "access.open") == "false",
            "{named:?}"
        );
    }
    let mut keys = all.iter().filter_map(|setting| setting["setting"].as_str());
    assert!(keys.any(|key| key.starts_with("access.token")), "{all:?}");
    assert!(value(&all, "backup.dir").ends_with("/var/lib/realm-ledger-backup/backup\""), "{all:?}");
}

#[test]
fn hooks_reach_the_gateway_where_it_has_a_port() {
    let (with, without) = (rendered(EVERYTHING), rendered(FEWEST));
    for part in [
        "- { name: hooks, containerPort: 8082 }",
        "- { name: hooks, port: 8082, targetPort: hooks }",
        "- ports: [{ protocol: TCP, port: hooks }]",
    ] {
        assert!(with.contains(part) && !without.contains(part), "{part}: {with}");
    }
    assert!(with.contains("name: ingress"), "{with}");
}

/// A rolling update waits until a pod has caught up, and a shard that stops takes no other one out of the Service.
#[test]
fn pod_is_ready_once_it_has_caught_up() {
    let probe = |values: &str| {
        let manifests = rendered(values);
        let probe = manifests.split("readinessProbe:").nth(1).unwrap();
        probe.lines().nth(1).unwrap().trim().to_owned()
    };
    assert_eq!(probe(FEWEST), "httpGet: { path: \"/readyz?once=true\", port: admin }");
    for path in ["/readyz", "/livez"] {
        let other = FEWEST.replace("open: true", &format!("open: true, readinessPath: {path}"));
        assert_eq!(probe(&other), format!("httpGet: {{ path: \"{path}\", port: admin }}"));
    }
}

#[test]
fn values_that_cannot_work_are_refused() {
    let many = "{ kafka: { brokers: 'kafka:9092' }, open: true, replicas: 2 }";
    let nobody = "{ kafka: { brokers: 'kafka:9092' } }";
    let unknown = "{ kafka: { brokers: 'kafka:9092' }, open: true, replica: 1 }";
    for (values, reason) in [
        ("{}", "kafka.brokers: which Kafka?"),
        (nobody, "who may ask?"),
        (many, "secrets.ledgerSecret"),
        (unknown, "'replica' not allowed"),
        (&format!("{ISSUER}open: true"), "open: true lets everyone ask"),
        ("{ kafka: { brokers: 'kafka:9092' }, config: '# [[access.token]]' }", "who may ask?"),
        ("{ kafka: { brokers: 'kafka:9092' }, open: true, persistence: { data: '' } }", "persistence"),
        ("{ kafka: { brokers: 'kafka:9092' }, open: true, gateway: { port: 9090 } }", "gateway"),
    ] {
        let output = render(values);
        assert!(
            !output.status.success() && printed(&output).contains(reason),
            "{values}: {}",
            printed(&output)
        );
    }
}

#[test]
fn chart_names_the_version_of_the_program() {
    let expected = format!("appVersion: \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(super::text("helm/Chart.yaml").contains(&expected), "{expected}");
}
