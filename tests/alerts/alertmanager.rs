//! A real Alertmanager.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::sightline::{get, wait_for};

pub(crate) struct Alertmanager {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("alertmanager.yml");
        let text = "route: {receiver: nobody, group_by: [alertname, site], group_wait: 1s}\nreceivers: [{name: nobody}]\n";
        std::fs::write(&config, text).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let process = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus-alertmanager runs: apt-get install prometheus-alertmanager");
        let started = Self { process, address, _folder: folder };
        wait_for("the Alertmanager", || {
            std::net::TcpStream::connect(&started.address).ok()?;
            (get(&started.address, "/-/ready").0 == 200).then_some(())
        });
        started
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What its API answers.
    pub(crate) fn get(&self, path: &str) -> Vec<Value> {
        let (status, body) = get(&self.address, &format!("/api/v2/{path}"));
        assert_eq!(status, 200, "{body}");
        // It may come in chunks.
        let (from, to) = (body.find('[').unwrap(), body.rfind(']').unwrap());
        serde_json::from_str(&body[from..=to]).unwrap_or_else(|error| panic!("{error}: {body}"))
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
