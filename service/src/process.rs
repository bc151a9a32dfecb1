//! What this process takes of the machine, under the names that every Prometheus client uses. Linux: from `/proc`.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks a second in `/proc/self/stat` (proc(5)): the same on all architectures that Linux runs on today.
const TICKS: f64 = 100.0;
/// Where fields stand in `/proc/self/stat` behind the command's name, from 0.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const STARTED_TICKS: usize = 19;

/// Read at each scrape. What can't be read is left out.
#[derive(Debug)]
pub(crate) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stat = Stat::read();
        if let Some(Stat { cpu_seconds, .. }) = stat {
            let counter = ConstCounter::new(cpu_seconds);
            let help = "CPU time, user and system, in seconds";
            counter.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        let gauges = [
            (
                "process_start_time_seconds",
                "When it was started, in seconds since 1970",
                stat.and_then(|stat| Some(boot_time()? + stat.started_seconds)),
            ),
            ("process_resident_memory_bytes", "Memory that lies in RAM", resident_bytes()),
            ("process_open_fds", "Open files and sockets", open_fds()),
            ("process_max_fds", "The most files and sockets it may open", max_fds()),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Stat {
    cpu_seconds: f64,
    /// Since the machine was started.
    started_seconds: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The command's name may hold spaces and brackets.
        let (_, fields) = text.rsplit_once(") ")?;
        let ticks = |at: usize| fields.split(' ').nth(at)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?) / TICKS,
            started_seconds: ticks(STARTED_TICKS)? / TICKS,
        })
    }
}

/// Seconds since 1970.
fn boot_time() -> Option<f64> {
    word_behind(&fs::read_to_string("/proc/stat").ok()?, "btime")
}

fn resident_bytes() -> Option<f64> {
    Some(word_behind(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")? * 1024.0)
}

fn open_fds() -> Option<f64> {
    // One of them is this look at them.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

/// The soft limit; left out where there is none.
fn max_fds() -> Option<f64> {
    word_behind(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files")
}

fn word_behind(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn this_process_is_measured() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let stat = Stat::read().unwrap();
        let started = boot_time().unwrap() + stat.started_seconds;
        assert!(now - 3600.0 < started && started < now + 2.0, "started at {started}, now it is {now}");
        let before = (resident_bytes().unwrap(), open_fds().unwrap());
        let memory = vec![1_u8; 64 << 20];
        let files: Vec<_> = (0..40).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        assert!(resident_bytes().unwrap() > before.0 + 32e6 && open_fds().unwrap() >= before.1 + 30.0);
        assert!(max_fds().is_none_or(|most| most > open_fds().unwrap()));
        drop((memory, files));
        while Stat::read().unwrap().cpu_seconds < stat.cpu_seconds + 0.05 {
            std::hint::spin_loop();
        }
    }
}
