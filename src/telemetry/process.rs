//! What the system says of the process (proc(5)), under the names that Prometheus' own libraries use.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::proto::MetricFamily;

use super::family::{Figure, counter, gauge};

/// Ticks of the times in `/proc/self/stat` a second, on every Linux.
const TICKS: f64 = 100.0;

/// Nothing of what the system does not say.
pub(super) fn families(began: SystemTime) -> Vec<MetricFamily> {
    let since = began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
    let mut all = Vec::new();
    let mut add = |family: fn(&str, &str, Vec<Figure>) -> MetricFamily, name, help, value: Option<f64>| {
        all.extend(value.map(|value| family(name, help, vec![Figure::alone(value)])));
    };
    add(gauge, "process_start_time_seconds", "When the process began, in seconds since 1970.", Some(since));
    add(counter, "process_cpu_seconds_total", "User and system time used, in seconds.", cpu_seconds(&stat));
    add(gauge, "process_resident_memory_bytes", "Memory in use, in bytes.", kilobytes(&status, "VmRSS:"));
    add(gauge, "process_virtual_memory_bytes", "Memory asked for, in bytes.", kilobytes(&status, "VmSize:"));
    // One of them is of the look itself.
    let open = open.map(|open| open.saturating_sub(1) as f64);
    add(gauge, "process_open_fds", "Open file descriptors.", open);
    add(gauge, "process_max_fds", "The most open file descriptors.", open_files(&limits));
    add(gauge, "process_threads", "Threads.", threads(&status));
    all
}

fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key))
}

/// `VmRSS:     1234 kB`, in bytes.
fn kilobytes(status: &str, key: &str) -> Option<f64> {
    let kilobytes: f64 = line(status, key)?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn threads(status: &str) -> Option<f64> {
    line(status, "Threads:")?.trim().parse().ok()
}

/// The 14th and 15th words; the second may have spaces in it, in parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace().skip(11);
    let ticks: (f64, f64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((ticks.0 + ticks.1) / TICKS)
}

/// `Max open files            1024                 524288               files`
fn open_files(limits: &str) -> Option<f64> {
    line(limits, "Max open files")?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_read_as_it_writes() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 3 0 100 200 300";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("42 (a"), None);
        assert_eq!(kilobytes("VmPeak:\t 9 kB\nVmRSS:\t    2 kB\n", "VmRSS:"), Some(2048.0));
        assert_eq!(threads("Name:\tx\nThreads:\t7\n"), Some(7.0));
        assert_eq!(
            open_files("Max open files            1024                 524288               files\n"),
            Some(1024.0)
        );
    }

    #[test]
    fn all_of_it_is_here() {
        let names: Vec<_> =
            families(SystemTime::now()).iter().map(|family| family.name().to_owned()).collect();
        assert_eq!(names.len(), 7, "{names:?}");
    }
}
