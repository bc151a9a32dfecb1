#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use super::*;

const SECRET: &str = "hunter2-very-secret";

fn load(text: &str, variables: &[(&str, &str)]) -> Result<KafkaSettings, KafkaConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("client.properties");
    fs::write(&file, text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    KafkaSettings::load_with("k:9092", Some(&file), variables.collect::<Vec<_>>())
}

fn refusal(text: &str) -> String {
    load(text, &[]).unwrap_err().to_string()
}

#[test]
fn the_environment_goes_over_the_file_and_neither_is_shown() {
    let login = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=app\n";
    let text = format!("{login}sasl.password=from-the-file\n");
    let settings = load(&text, &[("SIGHTLINE_KAFKA_SASL_PASSWORD", SECRET)]).unwrap();
    let config = settings.client_config();
    assert_eq!(config.get("sasl.password"), Some(SECRET));
    assert_eq!(config.get("security.protocol"), Some("SASL_PLAINTEXT"));
    assert_eq!(config.get("bootstrap.servers"), Some("k:9092"));
    let shown = format!("{settings:?} {:?} {config:?}", settings.producer_config(5));
    assert!(shown.contains("app") && !shown.contains(SECRET) && !shown.contains("from-the-file"), "{shown}");
}

#[test]
fn a_secret_comes_from_a_file_without_its_newline() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("password");
    fs::write(&secret, format!("{SECRET} \n")).unwrap();
    let said = format!("sasl.password.file={}\n", secret.display());
    let settings = load(&said, &[]).unwrap();
    assert_eq!(settings.client_config().get("sasl.password"), Some(&*format!("{SECRET} ")));

    // The variable goes over the file's value, whichever way each was said.
    let path = secret.display().to_string();
    let settings = load("sasl.password=old\n", &[("SIGHTLINE_KAFKA_SASL_PASSWORD_FILE", &path)]).unwrap();
    assert_eq!(settings.client_config().get("sasl.password"), Some(&*format!("{SECRET} ")));

    let both = refusal(&format!("{said}sasl.password=x\n"));
    assert!(both.contains("both by its value and by sasl.password.file"), "{both}");
    let absent = refusal("# here\nsasl.password.file=/nowhere/password\n");
    assert!(
        absent.starts_with("cannot read /nowhere/password for the Kafka property \"sasl.password\""),
        "{absent}"
    );
    assert!(absent.contains("client.properties, line 2"), "{absent}");
}

#[test]
fn a_property_of_librdkafka_that_ends_in_file_is_not_taken_for_a_secret() {
    assert!(is_known("sasl.oauthbearer.assertion.private.key.file"));
    assert!(is_known("sasl.password") && !is_known("sasl.password.file"));
}

#[test]
fn unknown_names_and_wrong_values_are_refused_with_name_file_and_line() {
    let unknown = refusal(&format!("# a comment\nsasl.pasword={SECRET}\n"));
    assert!(unknown.starts_with("unknown Kafka property \"sasl.pasword\" ("), "{unknown}");
    assert!(unknown.contains("client.properties, line 2") && !unknown.contains(SECRET), "{unknown}");

    let wrong = refusal("security.protocol=TLS\n");
    assert!(wrong.contains("\"security.protocol\"") && wrong.contains("line 1"), "{wrong}");

    let java = refusal(&format!("sasl.jaas.config=… password={SECRET}\n"));
    assert!(java.contains("\"sasl.jaas.config\"") && !java.contains(SECRET), "{java}");

    let variable = load("", &[("SIGHTLINE_KAFKA_SASL_PASWORD", SECRET)]).unwrap_err().to_string();
    assert!(variable.contains("environment variable SIGHTLINE_KAFKA_SASL_PASWORD"), "{variable}");
    assert!(!variable.contains(SECRET), "{variable}");

    let key = refusal(&format!("security.protocol=SSL\nssl.key.pem={SECRET}\n"));
    assert!(key.contains("ssl.key.pem") && !key.contains(SECRET), "{key}");
}

#[test]
fn files_that_are_not_there_are_found_before_anything_connects() {
    let ca = refusal("security.protocol=SSL\nssl.ca.location=/nowhere/ca.pem\n");
    assert!(ca.contains("ssl.ca.location"), "{ca}");
    let error =
        KafkaSettings::load_with("k:9092", Some(Path::new("/nowhere/f")), []).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the Kafka properties in /nowhere/f: "), "{error}");
}

#[test]
fn what_is_sightlines_own_is_refused_unless_it_agrees() {
    for said in
        ["acks=1", "enable.idempotence=false", "partitioner=consistent_random", "message.timeout.ms=300000"]
    {
        let error = refusal(said);
        assert!(error.contains("is Sightline's own") && error.ends_with("; take it out"), "{error}");
    }
    assert!(
        refusal("bootstrap.servers=elsewhere:9092").contains("--kafka says where the brokers are (k:9092)")
    );
    load("acks=all\nenable.idempotence=true\nbootstrap.servers=k:9092\n", &[]).unwrap();
    // All that is owned is known to librdkafka under that name.
    for (key, ..) in OWNED {
        assert!(is_known(key), "{key}");
    }
}

#[test]
fn the_producer_has_the_settings_of_the_design() {
    let config = load("compression.codec=lz4\n", &[]).unwrap().producer_config(100);
    for (key, value) in [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("max.in.flight.requests.per.connection", "5"),
        ("message.timeout.ms", "0"),
        ("queue.buffering.max.kbytes", "65536"),
        ("partitioner", "murmur2_random"),
        ("linger.ms", "100"),
        ("client.id", "sightline"),
        ("compression.codec", "lz4"),
    ] {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
    assert_eq!(KafkaSettings::plain("k").producer_config(5).get("compression.codec"), Some("zstd"));
}

#[test]
fn an_address_that_is_none_is_a_sentence() {
    for good in ["k:9092", "k", "a:1,b:2", "[::1]:9092", "10.0.0.1:9092"] {
        assert!(KafkaSettings::load_with(good, None, []).is_ok(), "{good}");
    }
    for bad in ["", "a:1,", "k:port", ":9092", "k:0"] {
        let error = KafkaSettings::load_with(bad, None, []).unwrap_err().to_string();
        assert!(error.ends_with("give --kafka HOST:PORT, or several with commas between"), "{error}");
    }
    let settings = KafkaSettings::plain("k:9092");
    assert_eq!(settings.flags(), "--kafka k:9092");
}
