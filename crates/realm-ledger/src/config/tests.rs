use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load_text(text: &str) -> Result<Loaded, ConfigErrors> {
    load(Some(file(text).path()), &BTreeMap::new(), &[])
}

fn faults(result: Result<Loaded, ConfigErrors>, file: &Path) -> String {
    result.unwrap_err().to_string().replace(&*file.to_string_lossy(), "FILE")
}

fn value_of<'a>(settings: &'a [EffectiveSetting], key: &str) -> &'a EffectiveSetting {
    settings.iter().find(|found| found.setting == key).unwrap()
}

#[test]
fn flags_override_environment_file_and_defaults() {
    let file = file("data_dir = 'a'\n[kafka]\nbrokers = 'file:1'\ngroup = 'file'\ncheck_interval = '5s'\n");
    let environment =
        environment(&[("REALM_LEDGER_KAFKA__BROKERS", "env:1"), ("REALM_LEDGER_KAFKA__GROUP", "env")]);
    let flags = [FlagValue { key: "kafka.brokers", flag: "--brokers", value: "flag:1".to_owned() }];
    let loaded = load(Some(file.path()), &environment, &flags).unwrap();
    let kafka = &loaded.config.kafka;
    assert_eq!(kafka.brokers, "flag:1");
    assert_eq!(kafka.group, "env");
    assert_eq!(kafka.check_interval, Duration::from_secs(5));
    assert_eq!(kafka.topics, ["realm.lifecycle"]);
    assert_eq!(loaded.origin("kafka.brokers").to_string(), "flag --brokers");
    assert_eq!(loaded.origin("kafka.group").to_string(), "environment variable REALM_LEDGER_KAFKA__GROUP");
    assert_eq!(loaded.origin("kafka.check_interval").to_string(), format!("{}:5", file.path().display()));
    assert_eq!(loaded.origin("kafka.topics"), &Origin::Default);
}

#[test]
fn flag_overrides_the_file_named_by_the_environment() {
    let (one, other) = (file("data_dir = 'one'"), file("data_dir = 'other'"));
    let environment = environment(&[("REALM_LEDGER_CONFIG", &one.path().to_string_lossy())]);
    assert_eq!(load(None, &environment, &[]).unwrap().config.data_dir, Path::new("one"));
    assert_eq!(load(Some(other.path()), &environment, &[]).unwrap().config.data_dir, Path::new("other"));
}

#[test]
fn every_fault_has_its_place_and_a_suggestion() {
    let file = file(
        "data_dri = 'x'\n[store]\nwal_per_shard = 256\n[kafka]\nbroker = 'b'\n[kafka.client]\n'auto.offset.reset' = 'latest'\n[cafka]\nx = 1\n",
    );
    let reported = faults(load(Some(file.path()), &BTreeMap::new(), &[]), file.path());
    assert_eq!(
        reported,
        "the configuration cannot be used, for 5 reasons\
         \n  FILE:8: there is no setting cafka; `realm-ledger config show` lists them all\
         \n  FILE:1: there is no setting data_dri; did you mean data_dir?\
         \n  FILE:5: there is no setting kafka.broker; did you mean kafka.brokers?\
         \n  FILE:3: store.wal_per_shard is to be a size above 0 with its unit (B KiB MiB GiB TiB), such as \"256MiB\"\
         \n  FILE:7: kafka.client.auto.offset.reset: client property \"auto.offset.reset\" is fixed by the \
         ledger: exactly-once ingestion rests on it; remove it"
    );
}

#[test]
fn unknown_variable_is_refused_except_those_of_kubernetes() {
    let typo = environment(&[("REALM_LEDGER_KAFKA_BROKERS", "b:1")]);
    let reported = load(None, &typo, &[]).unwrap_err().to_string();
    assert!(reported.ends_with("did you mean REALM_LEDGER_KAFKA__BROKERS?"), "{reported}");
    let kubernetes = environment(&[
        ("REALM_LEDGER_SERVICE_HOST", "10.0.0.1"),
        ("REALM_LEDGER_PORT", "tcp://10.0.0.1:8080"),
        ("REALM_LEDGER_PORT_8080_TCP_PROTO", "tcp"),
    ]);
    assert_eq!(load(None, &kubernetes, &[]).unwrap(), Loaded::default());
}

#[test]
fn malformed_toml_names_the_line() {
    let file = file("data_dir = 'a'\n[kafka\n");
    let reported = faults(load(Some(file.path()), &BTreeMap::new(), &[]), file.path());
    assert!(reported.contains("FILE:2: "), "{reported}");
    let missing = load(Some(Path::new("/nowhere/at-all.toml")), &BTreeMap::new(), &[]).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/at-all.toml could not be read"), "{missing}");
}

#[test]
fn conflicting_values_are_refused() {
    let reported = load_text("[log]\nlevel = 'loud=very'\nformat = 'xml'").unwrap_err().to_string();
    assert!(reported.contains("log.level is to be a level"), "{reported}");
    assert!(reported.contains("log.format is to be one of auto, text, json"), "{reported}");
    let reported = load_text("[kafka]\npublish = 'everything'").unwrap_err().to_string();
    assert!(reported.contains("kafka.publish is to be one of changes, decisions"), "{reported}");
}

#[test]
fn sampling_can_be_turned_off() {
    let sampled = |number: &str| load_text(&format!("[sampling]\ntenants_per_minute = {number}"));
    assert_eq!(sampled("0").unwrap().config.sampled_tenants_per_minute, 0);
    let reported = sampled("-1").unwrap_err().to_string();
    assert!(
        reported.contains("sampling.tenants_per_minute is to be a whole number, 0 for none"),
        "{reported}"
    );
    assert!(load_text("[store]\nbackground_jobs = 0").is_err(), "nothing works without threads");
}

#[test]
fn keys_directory_inside_the_data_is_refused() {
    let here = std::env::current_dir().unwrap();
    let keys_of = |text: &str| load_text(text).unwrap().config.keys_dir();
    assert_eq!(keys_of("data_dir = '.'"), Path::new(&format!("{}.keys", here.display())));
    assert_eq!(keys_of("data_dir = 'x/.'"), here.join("x.keys"));
    assert_eq!(keys_of("data_dir = 'x'\n[evidence]\nkeys_dir = 'xkeys'"), Path::new("xkeys"));
    for (data, keys) in [("x", "x/keys"), ("x", "x"), (".", "keys"), ("/", ""), ("x", "y/../x/deep/keys")] {
        let reported =
            load_text(&format!("data_dir = '{data}'\n[evidence]\nkeys_dir = '{keys}'")).unwrap_err();
        let reported = reported.to_string();
        assert!(
            reported.contains("evidence.keys_dir is to be outside of data_dir"),
            "{data} {keys}: {reported}"
        );
    }
}

#[test]
fn topic_with_two_purposes_is_refused() {
    for (text, expected) in [
        ("topics = ['a', 'b', 'a']", "kafka.topics is to be topics of which none is given twice"),
        ("topics = ['realm.dead-letter']", "kafka.dead_letter_topic is to be none of kafka.topics"),
        ("decisions_topic = 'realm.lifecycle'", "kafka.decisions_topic is to be none of kafka.topics"),
        ("checkpoints_topic = 'realm.lifecycle'", "kafka.checkpoints_topic is to be none of kafka.topics"),
        ("dead_letter_topic = 'realm.decisions'", "kafka.dead_letter_topic is to be another topic"),
        ("decisions_topic = 'realm.checkpoints'", "kafka.checkpoints_topic is to be another topic"),
        ("[access]\ntopic = 'realm.lifecycle'", "access.topic is to be none of kafka.topics"),
        ("[access]\ntopic = 'realm.decisions'", "access.topic is to be another topic"),
    ] {
        let reported = load_text(&format!("[evidence]\norigin = 'x/{{topic}}'\n[kafka]\n{text}"))
            .unwrap_err()
            .to_string();
        assert!(reported.contains(expected), "{text}: {reported}");
    }
    let nowhere =
        "[kafka]\ntopics = ['a', 'b']\ndecisions_topic = ''\ndead_letter_topic = ''\ncheckpoints_topic = ''";
    assert!(load_text(nowhere).is_ok());
}

#[test]
fn secrets_are_masked_from_every_source() {
    let file = file(
        "[kafka.client]\n\"sasl.password\" = 'hunter2'\nsecurity.protocol = 'sasl_ssl'\n\
         \"sasl.oauthbearer.config\" = 'hunter2'\n\"ssl.key.pem\" = 'hunter2'\n\"ssl.key.password\" = 'hunter2'\n",
    );
    let environment = environment(&[("REALM_LEDGER_KAFKA__CLIENT__SSL_KEYSTORE_PASSWORD", "hunter2")]);
    let loaded = load(Some(file.path()), &environment, &[]).unwrap();
    assert_eq!(loaded.config.kafka.client.get("security.protocol").map(String::as_str), Some("sasl_ssl"));
    assert_eq!(loaded.config.kafka.client.len(), 6);
    let shown = loaded.settings();
    assert!(shown.iter().all(|shown| !shown.value.contains("hunter2")));
    assert_eq!(value_of(&shown, "kafka.client.\"ssl.keystore.password\"").value, "\"********\"");
    assert_eq!(value_of(&shown, "kafka.client.\"security.protocol\"").value, "\"sasl_ssl\"");
}

#[test]
fn refused_client_property_hides_its_value() {
    let text = "[kafka]\ndrain_timeout = '60s'\n[kafka.client]\nsecurity.protocol = 'hunter2'\n";
    let reported = load_text(text).unwrap_err().to_string();
    assert!(reported.contains("kafka.client.security.protocol: client property"), "{reported}");
    assert!(!reported.contains("hunter2"), "{reported}");
    let typo = environment(&[("REALM_LEDGER_KAFKA__CLIENT__SASL_PASSWRD", "hunter2")]);
    let reported = load(None, &typo, &[]).unwrap_err().to_string();
    assert!(reported.contains("REALM_LEDGER_KAFKA__CLIENT__SASL_PASSWRD"), "{reported}");
    assert!(reported.contains("has no property \"sasl.passwrd\""), "{reported}");
    assert!(!reported.contains("hunter2"), "{reported}");
    let reported = load_text("[kafka]\ndrain_timeout = '60s'").unwrap_err().to_string();
    assert!(
        reported.contains("kafka.drain_timeout: it must be shorter than the session timeout"),
        "{reported}"
    );
    let loaded = load_text("[kafka.client]\nsasl.password = 'hunter2'").unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn empty_text_is_none_for_optional_settings() {
    let loaded = load_text("[kafka]\ndecisions_topic = ''\ninstance = 'node-1'").unwrap();
    assert_eq!(loaded.config.kafka.decisions_topic, None);
    assert_eq!(loaded.config.kafka.instance.as_deref(), Some("node-1"));
    let shown = loaded.settings();
    assert_eq!(value_of(&shown, "kafka.decisions_topic").value, "\"\"");
}

#[test]
fn shown_configuration_loads_again() {
    let mut loaded = Loaded::default();
    loaded.config.kafka.topics = vec!["a".to_owned(), "b\"c".to_owned()];
    loaded.config.kafka.check_interval = Duration::from_millis(1500);
    loaded.config.store.memory_bytes = Some(3 << 30);
    let lines: Vec<String> =
        loaded.settings().iter().map(|shown| format!("{} = {}", shown.setting, shown.value)).collect();
    assert_eq!(load_text(&lines.join("\n")).unwrap().config, loaded.config);
}

#[test]
fn the_default_file_documents_every_setting_and_has_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/realm-ledger.toml");
    assert_eq!(load(Some(&path), &BTreeMap::new(), &[]).unwrap().config, Config::default());
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut expected = Vec::new();
    let mut section = "";
    let defaults = Loaded::default().settings();
    for setting in setting::SETTINGS {
        let (of, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        if of != section && !setting.has_properties() {
            section = of;
            expected.push(format!("[{section}]"));
        }
        if setting.has_tables() {
            let sample = format!("# [[{}]]", setting.key);
            assert!(lines.contains(&&*sample), "no line {sample}");
            continue;
        }
        let line = match defaults.iter().find(|default| default.setting == setting.key) {
            Some(default) => format!("{name} = {}", default.value),
            None => format!("[{}]", setting.key),
        };
        let at = lines.iter().position(|found| *found == line).unwrap_or_else(|| panic!("no line {line}"));
        assert!(lines[at - 1].starts_with("# "), "{line} has no comment");
        expected.push(line);
    }
    let is_value = |line: &&&str| !line.is_empty() && !line.starts_with('#');
    let found: Vec<&str> = lines.iter().filter(is_value).copied().collect();
    assert_eq!(found, expected, "the same settings in the same order");
}

#[test]
fn memory_is_measured_or_set_and_takes_the_place_of_older_settings() {
    assert_eq!(load_text("memory = 'auto'").unwrap().config.store.memory_bytes, None);
    assert_eq!(load_text("memory = '1GiB'").unwrap().config.store.memory_bytes, Some(1 << 30));
    for wrong in ["memory = '63MiB'", "memory = 1024", "memory = 'much'"] {
        let reported = load_text(wrong).unwrap_err().to_string();
        assert!(reported.contains("memory is to be auto, or a size"), "{wrong}: {reported}");
    }
    let old = "[store]\nblock_cache = '1GiB'\nwrite_buffer = '1MiB'\ntenant_cache = '1MiB'\n[kafka]\nbatch_max = '8MiB'";
    let reported = load_text(old).unwrap_err().to_string();
    for key in ["store.block_cache", "store.write_buffer", "store.tenant_cache", "kafka.batch_max"] {
        let fact = format!("there is no setting {key} any more; it takes its share of memory");
        assert!(reported.contains(&fact), "{reported}");
    }
}

#[test]
fn concurrent_requests_above_the_limit_are_refused() {
    let reported = load_text("[http]\nconcurrent_requests = 4097").unwrap_err().to_string();
    assert!(reported.contains("http.concurrent_requests is to be at most 4096"), "{reported}");
    load_text("[http]\nconcurrent_requests = 4096").unwrap();
}

const TOKEN: &str = "[[access.token]]\nname = 'support'\nscopes = ['read', 'audit']\napps = ['com.example.app']\n\
                     sha256 = '2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824'\n";

#[test]
fn principals_are_read_from_tables_and_shown_as_they_load_again() {
    let text = format!(
        "{TOKEN}expires = '2030-01-01T00:00:00Z'\n\n[[access.token]]\nname = 'all'\nscopes = []\n\
                        apps = ['*']\nsha256 = '{}'",
        "00".repeat(32)
    );
    let loaded = load_text(&text).unwrap();
    let [support, all] = &loaded.config.access.tokens[..] else { panic!("two") };
    assert_eq!(
        (&*support.name, support.scopes.names(), support.apps.texts()),
        ("support", vec!["read", "audit"], vec!["com.example.app".to_owned()])
    );
    assert_eq!((support.sha256[0], support.expires.is_some(), all.expires), (0x2c, true, None));
    let shown = loaded.settings();
    let again = format!("access.token = {}", value_of(&shown, "access.token").value);
    assert_eq!(load_text(&again).unwrap().config, loaded.config);
    assert!(crate::config::token_lines(support).starts_with("[[access.token]]\nname = \"support\"\n"));
}

#[test]
fn principals_that_are_not_whole_are_refused() {
    let refused = |text: &str| load_text(text).unwrap_err().to_string();
    let token_in_name = format!("name = '{}'", ledger_api::access::new_token([1; 32]));
    let long = format!("name = '{}'", "x".repeat(256));
    for wrong in [
        "sha256 = 'x'",
        "scopes = ['write']",
        "apps = ['']",
        "apps = 'com.example.app'",
        "name = ''",
        "name = 7",
        "name = \"a\\nb\"",
        &long,
        &token_in_name,
        "expires = 'tomorrow'",
        "expires = 2030-01-01T00:00:00Z",
    ] {
        let name = wrong.split(' ').next().unwrap();
        let others = TOKEN.lines().filter(|line| !line.starts_with(name));
        let text: Vec<&str> = TOKEN.lines().chain(others).chain([wrong]).collect();
        let refused = refused(&text.join("\n"));
        assert!(refused.contains("access.token is to be tables with name"), "{wrong}: {refused}");
        assert!(refused.contains(&format!("; see to {name} of entry 2")), "{wrong}: {refused}");
        assert!(!refused.contains(&token_in_name[8..60]), "{refused}");
    }
    assert!(
        refused(&format!("{TOKEN}expiry = '2030-01-01T00:00:00Z'")).contains("access.token is to be tables")
    );
    assert!(refused("access.token = ['a']").contains("access.token is to be tables"));
    assert!(refused(&format!("{TOKEN}\n{TOKEN}")).contains("sha256 of support is that of another entry"));
    assert!(refused(&format!("{TOKEN}\n[access]\nopen = true")).contains("access.open is to be false"));
}

const APP: &str = "[[gateway.app]]\nname = 'roadmap'\napp_key = 'com.example.roadmap'\nrealms = ['default', 'eu']\n\
                   audiences = ['https://app.example.com']\n";

#[test]
fn apps_of_the_gateway_are_read_and_shown_again() {
    let text = format!(
        "{APP}forge_app = 'ari:cloud:ecosystem::app/1'\n[gateway.app.forward]\nEU = 'https://eu.example.com'\n\
         [gateway.app.forward_paths]\n'connect/installed' = '/x'\n[gateway.hosts]\n'eu.app.example.com' = 'roadmap/EU'\n"
    );
    let loaded = load_text(&text).unwrap();
    let app = &loaded.config.gateway.apps[0];
    assert_eq!(
        app.realms.iter().map(ledger_core::realm::Realm::as_str).collect::<Vec<_>>(),
        ["GLOBAL", "EU"]
    );
    assert_eq!(app.forward.values().collect::<Vec<_>>(), ["https://eu.example.com"]);
    assert_eq!(loaded.config.gateway.hosts["eu.app.example.com"], "roadmap/EU");
    let lines = loaded
        .settings()
        .iter()
        .map(|shown| format!("{} = {}", shown.setting, shown.value))
        .collect::<Vec<_>>();
    assert_eq!(load_text(&lines.join("\n")).unwrap().config, loaded.config);
}

#[test]
fn faults_of_the_gateway_are_named_with_their_place() {
    let reported = |text: &str| load_text(text).unwrap_err().to_string();
    for wrong in
        [&format!("{APP}realm = 'EU'\n"), &APP.replace("'eu'", "'NONE'"), &APP.replace("app_key", "key")]
    {
        let reported = reported(wrong);
        assert!(
            reported.contains(":1: gateway.app is to be tables with name, app_key"),
            "{wrong}: {reported}"
        );
        assert!(reported.contains(" of entry 1"), "{wrong}: {reported}");
    }
    let all = reported(&format!(
        "{APP}[gateway.hosts]\n'eu.example.com' = 'roadmap/AU'\n[gateway]\nsite_hosts = ['*']\n"
    ));
    assert!(all.contains("gateway.hosts is to be an app and one of its realms"), "{all}");
    assert!(all.contains("gateway.site_hosts is to be hosts, or *. and a host, not *"), "{all}");
}

#[test]
fn issuers_and_certificates_are_read_with_their_defaults() {
    let issuer = "[[access.issuer]]\nissuer = 'https://id.example.com'\naudience = 'realm-ledger'\njwks = 'keys.json'\n\
                  algorithms = ['ES256', 'EdDSA']\n";
    let loaded = load_text(issuer).unwrap();
    let [read] = &loaded.config.access.issuers[..] else { panic!("one") };
    assert_eq!(
        (&*read.scopes_claim, &*read.apps_claim, read.leeway),
        ("scope", "apps", Duration::from_secs(5))
    );
    let again = format!("access.issuer = {}", value_of(&loaded.settings(), "access.issuer").value);
    assert_eq!(load_text(&again).unwrap().config, loaded.config);
    for wrong in [
        "algorithms = ['HS256']",
        "algorithms = []",
        "algorithms = ['none']",
        "jwks = ''",
        "jwks = 'http://example.com/keys'",
        "scopes_claim = ['groups']",
        "scopes_claim = ''",
        "apps_claim = 7",
        "leeway = '300d'",
        "leeway = 5",
        "issuer = \"a\\nb\"",
        "audiences = ['a']",
    ] {
        let name = wrong.split(' ').next().unwrap();
        let lines: Vec<&str> =
            issuer.lines().filter(|line| !line.starts_with(&format!("{name} "))).chain([wrong]).collect();
        let refused = load_text(&lines.join("\n")).unwrap_err().to_string();
        assert!(refused.contains("access.issuer is to be tables with issuer"), "{wrong}: {refused}");
        assert!(refused.contains(&format!("; see to {name} of entry 1")), "{wrong}: {refused}");
    }
    let certificate = TOKEN.replace("access.token", "access.certificate");
    let refused = load_text(&certificate).unwrap_err().to_string();
    assert!(refused.contains("access.certificate is to be given with http.tls.client_ca"), "{refused}");
    let tls = "[http.tls]\ncertificate = 'a.pem'\nkey = 'a.key'\nclient_ca = 'ca.pem'\n";
    let loaded = load_text(&format!("{tls}{certificate}")).unwrap();
    assert!(loaded.config.tls().is_some_and(|tls| tls.client_ca.is_some()));
    let half = load_text("[http.tls]\ncertificate = 'a.pem'").unwrap_err().to_string();
    assert!(half.contains("http.tls.key is to be given with http.tls.certificate"), "{half}");
}
