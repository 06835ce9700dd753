//! How fast the host's time stamp counter (TSC) runs; a guest under TCG reads that counter.
//!
//! Nothing is measured: reading the counter is an unsafe instruction, and the kernel has measured it already. What it
//! found stands in /proc/cpuinfo as `cpu MHz`, but only where it does not know the clock of the moment, which it prints
//! then: as in most VMs, where a node has TCG instead of KVM. Elsewhere the processor may say it.

use std::{fs, path::Path};

/// The TSC's frequency in kHz, as far as kernel or processor say it; nothing is found on a bare AMD machine. A server asks
/// before it locks itself in: the kernel's word is a file.
pub fn host_khz() -> Option<u64> {
    let is_governed = Path::new("/sys/devices/system/cpu/cpu0/cpufreq").exists();
    let by_kernel = fs::read_to_string("/proc/cpuinfo").ok().filter(|_| !is_governed);
    by_kernel.as_deref().and_then(khz_of_cpuinfo).or_else(khz_of_processor)
}

/// `cpu MHz` of the first processor, where it is the kernel's calibration (`arch_freq_get_on_cpu`,
/// arch/x86/kernel/cpu/aperfmperf.c).
fn khz_of_cpuinfo(cpuinfo: &str) -> Option<u64> {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim_end() == name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    };
    if field("flags")?.split(' ').any(|flag| flag == "aperfmperf") {
        return None;
    }
    let (mhz, thousandths) = field("cpu MHz")?.split_once('.')?;
    let khz = mhz.parse::<u64>().ok()?.checked_mul(1000)?;
    let rest = thousandths.parse::<u64>().ok().filter(|_| thousandths.len() == 3)?;
    khz.checked_add(rest).filter(|khz| *khz > 0)
}

/// Leaf 15H (Intel SDM volume 2A, CPUID): the TSC's ratio to a crystal, and the crystal's frequency in Hz.
#[cfg(target_arch = "x86_64")]
fn khz_of_processor() -> Option<u64> {
    use std::arch::x86_64::__cpuid;
    let last_leaf = __cpuid(0).eax;
    let leaf = (last_leaf >= 0x15).then(|| __cpuid(0x15))?;
    khz_of_ratio(leaf.ebx, leaf.eax, leaf.ecx)
}

#[cfg(not(target_arch = "x86_64"))]
fn khz_of_processor() -> Option<u64> {
    None
}

/// Each is zero where the processor does not say it.
fn khz_of_ratio(numerator: u32, denominator: u32, crystal_hz: u32) -> Option<u64> {
    let hz = u64::from(crystal_hz).checked_mul(u64::from(numerator))?.checked_div(u64::from(denominator))?;
    Some(hz / 1000).filter(|khz| *khz > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nmodel name\t: AMD EPYC\ncpu MHz\t\t: 2596.136\nflags\t\t: fpu tsc\n\n\
        processor\t: 1\ncpu MHz\t\t: 1.000\n";

    #[test]
    fn the_kernels_calibration_is_read_to_the_khz() {
        assert_eq!(khz_of_cpuinfo(CPUINFO), Some(2_596_136));
        assert_eq!(khz_of_cpuinfo(&CPUINFO.replace("2596.136", "800.007")), Some(800_007));
    }

    #[test]
    fn the_clock_of_the_moment_is_not_taken_for_the_counters() {
        assert_eq!(khz_of_cpuinfo(&CPUINFO.replace("fpu tsc", "fpu tsc aperfmperf")), None);
        assert_eq!(khz_of_cpuinfo(&CPUINFO.replace("flags", "Features")), None);
    }

    #[test]
    fn a_frequency_that_is_not_understood_is_none() {
        for odd in ["2596", "2596.13", "-1.000", "x.000", "0.000", "99999999999999999999.000"] {
            assert_eq!(khz_of_cpuinfo(&CPUINFO.replace("2596.136", odd)), None, "{odd}");
        }
        assert_eq!(khz_of_cpuinfo(""), None);
    }

    #[test]
    fn the_processors_ratio_counts_only_where_all_of_it_is_said() {
        assert_eq!(khz_of_ratio(168, 2, 25_000_000), Some(2_100_000));
        for (numerator, denominator, crystal_hz) in
            [(0, 2, 25_000_000), (168, 0, 25_000_000), (168, 2, 0), (u32::MAX, 1, 0)]
        {
            assert_eq!(khz_of_ratio(numerator, denominator, crystal_hz), None);
        }
    }
}
