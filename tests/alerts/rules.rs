//! Rules files: every mistake is a sentence before anything is opened.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::sightline::output;

fn check(text: &str, folder: &Path) -> Output {
    let file = folder.join("alerts.yaml");
    fs::write(&file, text).unwrap();
    output(&["consume", "alerts", "--check", "--rules", file.to_str().unwrap()])
}

#[test]
fn a_broken_rules_file_is_a_sentence_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let (good, short) = (file("good", "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="), file("short", "S3CR3T\n"));
    let (broken, empty) = (file("broken", "whsec_S3CR3T!"), file("empty", "\n"));
    let rule = "rules: [{name: night, to: [desk], types: [zone_entered]}]";
    let hook = |secret: &str| {
        format!("targets: {{desk: {{webhook: 'https://desk.example/?key=S3CR3T', secret_file: {secret}}}}}")
    };
    let cases = [
        (format!("{}\n{rule}\ncolour: red", hook(&good)), "unknown field `colour`"),
        (format!("{}\nrules: [", hook(&good)), "alerts.yaml: "),
        (
            format!("{}\n{}", hook(&good), rule.replace("[desk]", "[phone]")),
            "rule night: to: there is no target \"phone\"",
        ),
        (
            format!("{}\n{}", hook(&good), rule.replace("zone_entered", "arrived")),
            "rule night: types[0]: unknown variant",
        ),
        (
            format!("{}\n{rule}", hook("/no/such/file")),
            "target desk: secret_file: cannot read /no/such/file: No such file",
        ),
        (
            format!("{}\n{rule}", hook(&short)),
            "line 1: the secret is shorter than 16 bytes; take 32 random ones",
        ),
        (format!("{}\n{rule}", hook(&broken)), "line 1: what follows whsec_ is no base64"),
        (format!("{}\n{rule}", hook(&empty)), "it holds no secret; write one a line"),
        (
            format!("{}\n{rule}", hook("whsec_S3CR3T")),
            "secret_file: give the name of a file that holds the secret",
        ),
        (
            format!("targets: {{desk: {{alertmanager: 'http://ann:S3CR3T@am'}}}}\n{rule}"),
            "desk: alertmanager[0]: holds a user or password",
        ),
        (
            format!("targets: {{desk: {{alertmanager: 'http://am', bearer_file: {empty}}}}}\n{rule}"),
            "target desk: bearer_file: ",
        ),
    ];
    for (text, sentence) in cases {
        let refused = check(&text, folder.path());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{text}: {refused:?}");
        assert!(said.contains(sentence), "{text}\n  gives   {said}\n  without {sentence}");
        assert!(!said.contains("S3CR3T") && said.contains("alerts.yaml"), "{said}");
    }
    let fine = check(&format!("{}\n{rule}", hook(&good)), folder.path());
    assert!(fine.status.success() && fine.stderr.is_empty(), "{fine:?}");
    assert!(String::from_utf8_lossy(&fine.stdout).ends_with("alerts.yaml: 1 target, 1 rule\n"), "{fine:?}");
    let absent = output(&["consume", "alerts", "--check", "--rules", "/no/such/rules.yaml"]);
    let said = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert!(said.contains("/no/such/rules.yaml: No such file"), "{said}");
}

#[test]
fn the_sample_can_be_used_and_so_can_what_the_page_shows() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().to_str().unwrap();
    for name in ["desk", "alertmanager"] {
        fs::write(folder.path().join(name), "whsec_MDEyMzQ1Njc4OWFiY2RlZg==\n").unwrap();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/ALERTS.md")).unwrap();
    let shown = page.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    for text in [fs::read_to_string(root.join("samples/alerts.yaml")).unwrap(), shown.to_owned()] {
        let checked = check(&text.replace("/run/secrets", secrets), folder.path());
        assert!(checked.status.success(), "{checked:?}");
    }
}
