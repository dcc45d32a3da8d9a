use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::from_args(line.split_whitespace().map(Into::into))
}

fn refused(line: &str) -> bool {
    parse(line).is_err_and(|error| error.exit_code() == 2)
}

#[test]
fn command_definition_is_consistent() {
    Cli::grammar().debug_assert();
}

#[test]
fn reading_commands_take_a_directory_or_a_url() {
    let reading = [
        "state",
        "log t",
        "explain t a",
        "preview t a",
        "drift",
        "windows",
        "split-brain",
        "anomalies",
        "migrations --overdue",
        "whatif --policy {\"mode\":\"off\"}",
        "replay",
        "reconcile -",
        "checkpoint t/0",
        "quarantine list",
        "quarantine show t/0/1",
    ];
    for command in reading {
        assert!(parse(&format!("realm-ledger {command} --data-dir d")).is_ok(), "{command}");
        assert!(parse(&format!("realm-ledger {command} --url http://u")).is_ok(), "{command}");
        assert!(refused(&format!("realm-ledger {command} --data-dir d --url http://u")), "{command}");
    }
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "realm-ledger",
        "realm-ledger nonsense",
        "realm-ledger log",
        "realm-ledger log t --from-seq 0",
        "realm-ledger state t a --at yesterday",
        "realm-ledger state t --known-at 2026-01-01T00:00:00Z --known-seq 3",
        "realm-ledger state --known-seq 3",
        "realm-ledger preview t a --product-realm E",
        "realm-ledger quarantine show 17",
        "realm-ledger import f --partitions 0",
        "realm-ledger log t --limit 0",
        "realm-ledger state --url http://localhost:8080/v1",
        "realm-ledger state --url http://localhost:8080?at=now",
        "realm-ledger state --url localhost:8080",
        "realm-ledger state --url http://",
        "realm-ledger drift --format xml",
        "realm-ledger state --token-file f",
        "realm-ledger token create a --scope read",
        "realm-ledger token create a --app b",
        "realm-ledger token create a --scope write --app b",
        "realm-ledger token create a --scope read --app b --all-apps",
        "realm-ledger state t --known-seq 9007199254740992",
        "realm-ledger log t --from-seq 18446744073709551615",
        "realm-ledger log t --corrections --from-position 9007199254740992",
        "realm-ledger log t --limit 9007199254740992",
        "realm-ledger replay --from-position 18446744073709551615",
        "realm-ledger prove t --pinned 9007199254740992",
        "realm-ledger quarantine show realm.lifecycle/0/9007199254740992",
        "realm-ledger quarantine show realm.lifecycle/0@9007199254740992",
    ] {
        assert!(refused(line), "{line}");
    }
}

#[test]
fn a_token_is_made_for_a_name_that_a_record_and_a_line_of_a_log_can_have() {
    let token = ledger_api::access::new_token([1; 32]);
    let create = |name: &str| {
        let words = ["realm-ledger", "token", "create", name, "--scope", "read", "--all-apps"];
        Cli::from_args(words.into_iter().map(Into::into)).is_ok()
    };
    assert!(create("support") && create(&"x".repeat(255)));
    for name in ["", "a\nb", "x\u{7f}", &"x".repeat(256), &token] {
        assert!(!create(name), "{name:?}");
    }
}

#[test]
fn argument_values_are_parsed() {
    let cli = parse("realm-ledger preview t a --product-realm eu --at 2026-03-01T01:00:00+01:00").unwrap();
    let Command::Preview(args) = cli.command else { panic!("another command") };
    assert_eq!(args.product_realm.unwrap().as_str(), "EU");
    assert_eq!(args.as_of.all.at.unwrap().as_millis(), 1_772_323_200_000);
    let cli = parse("realm-ledger quarantine show realm.lifecycle/3/17 --format json -vv").unwrap();
    assert_eq!((cli.global.format, cli.global.verbose), (Some(GivenFormat::Json), 2));
    let Command::Quarantine(QuarantineCommand::Show(args)) = cli.command else { panic!("another command") };
    assert_eq!(args.item.to_string(), "realm.lifecycle/3/17");
}

#[test]
fn keys_beginning_with_a_dash_follow_a_double_dash() {
    let cli = parse("realm-ledger log -- -odd-").unwrap();
    let Command::Log(args) = cli.command else { panic!("another command") };
    assert_eq!(args.client_key.as_str(), "-odd-");
}

#[test]
fn every_command_and_flag_has_help() {
    fn check(command: &clap::Command) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name} does not say what it does");
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(
                argument.get_help().is_some(),
                "{name} {} does not say what it is for",
                argument.get_id()
            );
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

#[test]
fn every_command_has_an_example() {
    fn check(path: &str, command: &clap::Command) {
        let path = format!("{path} {}", command.get_name()).trim_start().to_owned();
        command.get_subcommands().for_each(|below| check(&path, below));
        if command.get_subcommands().next().is_none() {
            let shown = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(shown.starts_with("Example") && shown.contains(&path), "{path} has no example");
        }
    }
    check("", &Cli::grammar());
}
