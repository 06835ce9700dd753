//! What a VMM has and sees of its node: looked up in /proc of real ones, which the real garantd started.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

use garant_tests::{
    garantd::Garantd,
    swtpm::Swtpm,
    vms::{Images, act, ensure, vmms},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A node as root whose one VM runs, and the pid of its VMM.
fn running() -> Option<(Swtpm, Images, Garantd, u32)> {
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) != 0) {
        println!("SKIPPED: only root gives VMMs users and namespaces of their own");
        return None;
    }
    let (tpm, images) = (Swtpm::provisioned("sha256")?, Images::build()?);
    let node = Garantd::start(&tpm.address(), &images.options());
    assert_eq!(ensure(&node, "one", &images.spec()).0, 201);
    let (status, vm) = act(&node, "one", "start");
    assert_eq!(status, 200, "{vm}: {}", node.log());
    let pid = vmms(&node)[0];
    Some((tpm, images, node, pid))
}

fn of(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
}

/// The words after a name in /proc/PID/status.
fn status(pid: u32, name: &str) -> Vec<String> {
    let status = of(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect(name);
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_vmm_has_a_user_of_its_own_no_capabilities_and_a_list_of_system_calls() {
    let Some((_tpm, _images, _node, pid)) = running() else { return };
    let user = status(pid, "Uid");
    assert!(user[0].parse::<u32>().unwrap() > 64_846, "{user:?}");
    assert!(user.iter().all(|one| *one == user[0]), "{user:?}");
    assert_eq!((status(pid, "Gid"), status(pid, "Groups")), (user, vec![]));
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(pid, set), ["0000000000000000"], "{set}");
    }
    assert_eq!((status(pid, "NoNewPrivs"), status(pid, "Seccomp")), (vec!["1".to_owned()], vec!["2".to_owned()]));
}

#[test]
fn a_vmm_is_alone_in_its_namespaces() {
    let Some((_tpm, _images, _node, pid)) = running() else { return };
    for kind in ["mnt", "net", "pid", "ipc", "uts", "cgroup"] {
        let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{kind}")).unwrap();
        assert_ne!(of(&pid.to_string()), of("self"), "{kind}");
    }
    assert_eq!(status(pid, "NSpid"), [pid.to_string(), "1".to_owned()], "it is the first of its own");
    let interfaces = of(pid, "net/dev");
    let names = interfaces.lines().skip(2).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    assert_eq!(names.collect::<Vec<_>>(), ["lo"]);
    let root = PathBuf::from(format!("/proc/{pid}/root/proc"));
    let processes = fs::read_dir(root).unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let numbers: Vec<String> = processes.filter(|name| name.parse::<u32>().is_ok()).collect();
    assert_eq!(numbers, ["1"], "and sees nobody else");
}

#[test]
fn a_vmm_sees_its_program_and_nothing_else_of_the_nodes_files_and_can_write_to_none() {
    let Some((_tpm, _images, _node, pid)) = running() else { return };
    let allowed: BTreeSet<&str> = BTreeSet::from([
        "/",
        "/proc",
        "/dev/urandom",
        "/usr/bin/qemu-system-x86_64",
        "/lib",
        "/lib64",
        "/usr/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/share/qemu",
        "/usr/share/seabios",
    ]);
    for line in of(pid, "mountinfo").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (place, options) = (words[4], words[5]);
        assert!(allowed.contains(place), "{line}");
        assert!(options.contains("nosuid"), "{line}");
        assert!(place == "/proc" || options.split(',').any(|option| option == "ro"), "{line}");
    }
    let top = fs::read_dir(format!("/proc/{pid}/root")).unwrap().flatten();
    let top: BTreeSet<String> = top.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    assert!(top.iter().all(|name| ["dev", "lib", "lib64", "proc", "usr"].contains(&name.as_str())), "{top:?}");
    let devices = fs::read_dir(format!("/proc/{pid}/root/dev")).unwrap().flatten();
    let devices: Vec<_> = devices.map(|entry| entry.file_name()).collect();
    assert_eq!(devices, ["urandom"], "no KVM for who runs in software");
    assert!(!PathBuf::from(format!("/proc/{pid}/root/proc/sys")).exists(), "of /proc it sees processes alone");
}

#[test]
fn a_vmm_has_open_what_it_was_given_and_what_it_made_itself() {
    let Some((_tpm, images, _node, pid)) = running() else { return };
    let kernel = images.file(&images.kernel);
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let file = fs::read_link(entry.path()).unwrap();
        let text = file.to_string_lossy();
        let is_its_own = ["socket:", "pipe:", "anon_inode:"].iter().any(|kind| text.starts_with(kind));
        assert!(is_its_own || file == kernel || text == "/dev/null", "{text}");
    }
}

#[test]
fn a_vmm_takes_no_more_threads_descriptors_and_core_files_than_it_needs() {
    let Some((_tpm, _images, _node, pid)) = running() else { return };
    let limits = of(pid, "limits");
    for (name, most) in [
        ("Max core file size", "0"),
        ("Max locked memory", "0"),
        ("Max msgqueue size", "0"),
        ("Max processes", "97"),
        ("Max open files", "1024"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).expect(name);
        let words: Vec<&str> = line[name.len()..].split_whitespace().take(2).collect();
        assert_eq!(words, [most, most], "{name}");
    }
}

/// The cgroup of version 2 that a process is in, as a folder; nothing where there are none.
fn cgroup(pid: u32) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?.to_owned();
    let cgroups = of(pid, "cgroup");
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let folder = PathBuf::from(mount).join(path);
    if !folder.to_string_lossy().contains("/garant-vms.") {
        println!("SKIPPED: the cgroup of these tests cannot be divided");
        return None;
    }
    Some(folder)
}

#[test]
fn a_vmm_is_in_a_cgroup_of_its_own_that_is_gone_with_it() {
    let Some((_tpm, _images, node, pid)) = running() else { return };
    let Some(folder) = cgroup(pid) else { return };
    assert!(folder.ends_with("run-1"), "{}", folder.display());
    assert_eq!(fs::read_to_string(folder.join("cgroup.procs")).unwrap(), format!("{pid}\n"));
    assert_eq!(act(&node, "one", "stop").0, 200);
    let started = Instant::now();
    while folder.exists() && started.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!folder.exists(), "{}", node.log());
    let of_keeper = folder.parent().unwrap().to_owned();
    drop(node);
    assert!(!of_keeper.exists(), "the keeper leaves none behind");
}

#[test]
fn what_a_killed_keeper_left_is_ended_and_removed_by_the_next() {
    let Some((_tpm, images, node, pid)) = running() else { return };
    let Some(folder) = cgroup(pid) else { return };
    // Another TPM, since that of this boot has its entry 0 already.
    let Some(anew) = Swtpm::provisioned("sha256") else { return };
    let of_keeper = folder.parent().unwrap().to_owned();
    // Something that no parent's end ends: it stands for what a VMM could become.
    let mut stray = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(folder.join("cgroup.procs"), stray.id().to_string()).unwrap();
    let kill = |pid: u32| assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    kill(node.keeper_pid());
    drop(node);
    assert!(of_keeper.exists());
    let next = Garantd::launch(&anew.address(), &images.options());
    let started = Instant::now();
    while stray.try_wait().unwrap().is_none() || of_keeper.exists() {
        if started.elapsed() > PATIENCE {
            let _ = stray.kill().and_then(|()| stray.wait());
            unreachable!("still there: {} {}", of_keeper.display(), next.log());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_spec_that_demands_limits_is_refused_where_nothing_holds_them() {
    let Some((_tpm, images, node, pid)) = running() else { return };
    let enforced = cgroup(pid).is_some_and(|folder| folder.join("memory.max").exists());
    let mut spec = images.spec();
    spec["limits"] = json!({ "cpu_percent": 50 });
    let (status, answer) = ensure(&node, "two", &spec);
    if enforced {
        println!("SKIPPED: this machine holds VMMs to their limits");
        return;
    }
    assert_eq!(
        (status, answer["code"].as_str(), answer["fault"].as_str()),
        (422, Some("limits_not_enforced"), Some("node"))
    );
    assert!(answer["detail"].as_str().unwrap().contains("cgroup"), "{answer}");
}

const PATIENCE: Duration = Duration::from_secs(20);
