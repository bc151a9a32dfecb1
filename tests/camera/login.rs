//! User, password and certificate.

use gstreamer_rtsp_server as server;
use server::prelude::*;
use server::{gio, gst, gst_rtsp};

use crate::options::Options;

const ROLE: &str = "viewer";

/// Nothing where there is neither a login nor a certificate.
pub(crate) fn auth(
    options: &Options,
    login: Option<&(String, String)>,
) -> Result<Option<server::RTSPAuth>, Box<dyn std::error::Error>> {
    if login.is_none() && options.tls.is_none() {
        return Ok(None);
    }
    let auth = server::RTSPAuth::new();
    let mut token = server::RTSPToken::builder().field("media.factory.role", ROLE).build();
    auth.set_supported_methods(options.auth);
    match login {
        Some((user, password)) if options.auth == gst_rtsp::RTSPAuthMethod::Basic => {
            auth.add_basic(&server::RTSPAuth::make_basic(user, password), &token);
        }
        Some((user, password)) => auth.add_digest(user, password, &token),
        None => auth.set_default_token(Some(&mut token)),
    }
    if let Some((certificate, key)) = &options.tls {
        auth.set_tls_certificate(Some(&gio::TlsCertificate::from_files(certificate, key)?));
    }
    Ok(Some(auth))
}

/// Who is let in.
pub(crate) fn role() -> gst::Structure {
    gst::Structure::builder(ROLE)
        .field("media.factory.access", true)
        .field("media.factory.construct", true)
        .build()
}
