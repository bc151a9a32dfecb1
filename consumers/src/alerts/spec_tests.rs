#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const TARGETS: &str =
    "targets:\n  desk: {webhook: 'https://desk.example/hook?key=S3CR3T', secret_file: /run/desk}\n";
const RULES: &str = "rules:\n- {name: night, to: [desk], types: [zone_entered]}\n";

#[test]
fn what_is_not_said_is_as_usual() {
    let spec = Spec::parse(&format!("{TARGETS}  am: {{alertmanager: 'http://am:9093'}}\n{RULES}")).unwrap();
    assert_eq!(spec.to_string(), "2 targets, 1 rule");
    let [desk, am] = &spec.targets[..] else { panic!("{spec:?}") };
    assert_eq!((desk.name.as_str(), am.name.as_str()), ("desk", "am"));
    assert_eq!((desk.timeout.as_secs(), desk.give_up_after.as_secs(), desk.parallel), (10, 86_400, 8));
    let KindSpec::Alertmanager { members, resolve_after } = &am.kind else { panic!("{am:?}") };
    assert_eq!((members.len(), resolve_after.as_secs()), (1, 300));
    assert_eq!(spec.rules[0].severity, "warning");
    assert!(!format!("{spec:?}").contains("S3CR3T"));
}

#[test]
fn every_mistake_names_the_rule_or_target_and_the_field() {
    let with_target = |target: &str| format!("targets:\n  desk: {target}\n{RULES}");
    let with_rule = |rule: &str| format!("{TARGETS}rules:\n- {rule}\n");
    let rule = "name: night, to: [desk], types: [zone_entered]";
    let hook = "webhook: 'https://desk.example/hook?key=S3CR3T', secret_file: /run/desk";
    let cases = [
        ("rules: [".to_owned(), "line"),
        ("- a\n".to_owned(), "expected struct"),
        (RULES.to_owned(), "missing field `targets`"),
        (TARGETS.to_owned(), "missing field `rules`"),
        (format!("{TARGETS}{RULES}colour: red\n"), "unknown field `colour`"),
        (format!("targets: {{}}\n{RULES}"), "targets: there is none"),
        (format!("{TARGETS}rules: []\n"), "rules: there is none"),
        (format!("targets: {{Desk: {{{hook}}}}}\n{RULES}"), "targets: \"Desk\": a name is 1 to 40 of"),
        (with_target(&format!("{{{hook}, colour: red}}")), "target desk: colour: unknown field `colour`"),
        (with_target(&format!("{{{hook}, timeout_s: soon}}")), "target desk: timeout_s: invalid type"),
        (with_target(&format!("{{{hook}, timeout_s: 0}}")), "target desk: timeout_s: give a number over 0"),
        (with_target(&format!("{{{hook}, timeout_s: .nan}}")), "target desk: timeout_s: give a number"),
        (with_target(&format!("{{{hook}, give_up_after_h: 200}}")), "target desk: give_up_after_h: give a"),
        (with_target(&format!("{{{hook}, parallel: 0}}")), "target desk: parallel: give a number from 1"),
        (with_target(&format!("{{{hook}, resolve_after_s: 5}}")), "target desk: resolve_after_s: only"),
        (with_target(&format!("{{{hook}, alertmanager: x}}")), "target desk: give one of `webhook` and"),
        (with_target("{}"), "target desk: give one of `webhook` and `alertmanager`"),
        (with_target("{webhook: 'https://desk.example/'}"), "target desk: secret_file: give a file"),
        (with_target("{webhook: 'desk/S3CR3T', secret_file: a}"), "target desk: webhook: is no address"),
        (
            with_target("{webhook: 'https://ann:S3CR3T@desk/', secret_file: a}"),
            "target desk: webhook: holds a user or password",
        ),
        (
            with_target("{webhook: 'https://desk/', secret_file: whsec_S3CR3T}"),
            "target desk: secret_file: give the name of a file",
        ),
        (with_target("{alertmanager: [], bearer_file: a}"), "target desk: alertmanager: there is no address"),
        (with_target("{alertmanager: ['http://a:1', 7]}"), "target desk: alertmanager[1]: give an address"),
        (with_target("{alertmanager: 'http://a:1', secret_file: a}"), "target desk: secret_file: only a"),
        (with_rule("{to: [desk], types: [dwelled]}"), "rule 1: missing field `name`"),
        (with_rule(&format!("{{{rule}, colour: red}}")), "rule night: colour: unknown field `colour`"),
        (with_rule("{name: a b, to: [desk], types: [dwelled]}"), "rule a b: name: write 1 to 63"),
        (with_rule("{name: night, to: [], types: [dwelled]}"), "rule night: to: there is none"),
        (
            with_rule("{name: night, to: [phone], types: [dwelled]}"),
            "rule night: to: there is no target \"phone\"; there is desk",
        ),
        (with_rule("{name: night, to: [desk]}"), "rule night: missing field `types`"),
        (with_rule("{name: night, to: [desk], types: []}"), "rule night: types: there is none"),
        (
            with_rule("{name: night, to: [desk], types: [loitered]}"),
            "rule night: types[0]: unknown variant `loitered`, expected one of",
        ),
        (with_rule(&format!("{{{rule}, cameras: gate}}")), "rule night: cameras: invalid type"),
        (with_rule(&format!("{{{rule}, labels: {{site: 7}}}}")), "rule night: labels.site: invalid type"),
        (with_rule(&format!("{{{rule}, direction: up}}")), "rule night: direction: unknown variant `up`"),
        (with_rule(&format!("{{{rule}, min_confidence: 1.5}}")), "rule night: min_confidence: give a"),
        (with_rule(&format!("{{{rule}, severity: ''}}")), "rule night: severity: write"),
        (with_rule(&format!("{{{rule}, summary: '{{who}}'}}")), "rule night: summary: {who} is not known"),
        (with_rule(&format!("{{{rule}, hours: {{from: '22:00'}}}}")), "rule night: hours: missing field"),
        (
            with_rule(&format!("{{{rule}, hours: {{from: '22:00', time_zone: UTC}}}}")),
            "rule night: hours: give `from` and `to` together",
        ),
        (
            with_rule(&format!("{{{rule}, hours: {{days: [monday], time_zone: UTC}}}}")),
            "rule night: hours.days[0]: unknown variant `monday`",
        ),
        (
            with_rule(&format!("{{{rule}, hours: {{time_zone: Mars/Olympus}}}}")),
            "rule night: hours: time_zone: \"Mars/Olympus\" is not known",
        ),
        (format!("{TARGETS}rules:\n- {{{rule}}}\n- {{{rule}}}\n"), "rule night: name: two rules have it"),
    ];
    for (text, why) in cases {
        let error = Spec::parse(&text).unwrap_err();
        assert!(error.contains(why), "{text}\n  gives   {error}\n  without {why}");
        assert!(!error.contains("S3CR3T"), "{error}");
    }
}
