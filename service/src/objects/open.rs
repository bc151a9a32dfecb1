//! A client for a store, as the environment says how to reach it.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use super::fault::first_line;
use super::place::PlaceError;

/// One request, a part of 8 MiB included.
pub(super) const REQUEST: Duration = Duration::from_secs(60);
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// The client's own attempts at a request; then it is told to whoever asked.
pub(super) const ATTEMPTS: Duration = Duration::from_secs(10);
/// Between two of them, at first and at the most.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(100);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The store, and what of it the address names.
pub(super) fn remote(url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), PlaceError> {
    let shown = bare(url);
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(PlaceError(format!(
            "{shown} has more than a place in it; credentials belong into the environment (AWS_…, GOOGLE_…, AZURE_…)"
        )));
    }
    install_tls();
    let cannot = |error: object_store::Error| {
        PlaceError(format!("{shown} can't be used: {}", first_line(&error.to_string())))
    };
    let no_place = || {
        PlaceError(format!("{shown} names no place; give a directory, s3://BUCKET/PREFIX, gs:// or az://"))
    };
    let (scheme, root) = ObjectStoreScheme::parse(url).map_err(|_| no_place())?;
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => Arc::new(
            AmazonS3Builder::from_env()
                .with_url(url.as_str())
                .with_retry(retry())
                .with_client_options(options("AWS_ALLOW_HTTP"))
                .build()
                .map_err(cannot)?,
        ),
        ObjectStoreScheme::GoogleCloudStorage => Arc::new(
            GoogleCloudStorageBuilder::from_env()
                .with_url(url.as_str())
                .with_retry(retry())
                .with_client_options(options("GOOGLE_ALLOW_HTTP"))
                .build()
                .map_err(cannot)?,
        ),
        ObjectStoreScheme::MicrosoftAzure => Arc::new(
            MicrosoftAzureBuilder::from_env()
                .with_url(url.as_str())
                .with_retry(retry())
                .with_client_options(options("AZURE_ALLOW_HTTP"))
                .build()
                .map_err(cannot)?,
        ),
        _ => return Err(no_place()),
    };
    Ok((store, root))
}

pub(super) fn install_tls() {
    // Another may have been installed by the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: FIRST_WAIT, max_backoff: LONGEST_WAIT, base: 2.0 },
        max_retries: 4,
        retry_timeout: ATTEMPTS,
    }
}

fn options(allow_http: &str) -> ClientOptions {
    let allowed = std::env::var(allow_http).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    ClientOptions::new().with_allow_http(allowed).with_timeout(REQUEST).with_connect_timeout(CONNECT)
}

/// Without user, password and query.
pub(super) fn bare(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
