use super::*;
use crate::vm::clients::tests::caller;
use garant_api::{client::Role, spec::Spec};

/// Without clients.
pub(crate) fn board(memory_mib: u64, count: usize) -> Board {
    board_for(memory_mib, count, "")
}

/// With these clients.
fn board_for(memory_mib: u64, count: usize, clients: &str) -> Board {
    let vms = format!("[vms]\nimages = '/'\naccelerators = ['tcg']\nmemory_mib = {memory_mib}\ncount = {count}\n");
    let configuration = crate::config::Configuration::parse(format!("{vms}{clients}").as_bytes()).unwrap();
    Board::new(&configuration.vms.unwrap())
}

fn spec(memory_mib: u64) -> Spec {
    let image = format!("sha256:{}", "00".repeat(32));
    let kernel = format!(r#"{{"image":"{image}","command_line":""}}"#);
    Spec::from_json(format!(r#"{{"vcpus":1,"memory_mib":{memory_mib},"kernel":{kernel}}}"#).as_bytes()).unwrap()
}

fn ensure(board: &Board, id: &str, generation: u64, memory_mib: u64) -> Result<Ensured, Code> {
    ensure_as(&Caller::LOCAL, board, id, generation, memory_mib)
}

/// Defines a VM of so much memory, as this caller.
pub(crate) fn ensure_as(
    by: &Caller,
    board: &Board,
    id: &str,
    generation: u64,
    memory_mib: u64,
) -> Result<Ensured, Code> {
    let ensure = Ensure { generation, spec: spec(memory_mib) };
    board.ensure(by, &id.parse().unwrap(), ensure, |_| Ok(())).map_err(|problem| problem.code)
}

#[test]
fn one_id_and_generation_has_one_spec_for_ever() {
    let board = board(1024, 8);
    assert!(matches!(ensure(&board, "a", 2, 64), Ok(Ensured::Changed(_))));
    assert!(matches!(ensure(&board, "a", 2, 64), Ok(Ensured::Same(_))));
    assert_eq!(ensure(&board, "a", 2, 65).unwrap_err(), Code::OtherSpec);
    assert_eq!(ensure(&board, "a", 1, 64).unwrap_err(), Code::GenerationPast);
    board.forget(&"a".parse().unwrap()).unwrap();
    assert_eq!(ensure(&board, "a", 2, 64).unwrap_err(), Code::GenerationPast, "a request that comes late");
    assert!(ensure(&board, "a", 3, 65).is_ok());
    let running = |vm: &mut Vm| vm.state = State::Running;
    board.update(&"a".parse().unwrap(), running).unwrap();
    assert_eq!(ensure(&board, "a", 4, 64).unwrap_err(), Code::WrongState);
}

#[test]
fn what_is_not_written_down_is_not_defined() {
    let board = board(1024, 8);
    let full = |_: &Vm| Err(Problem::new(Code::NoTpm, "", ""));
    assert!(
        board.ensure(&Caller::LOCAL, &"a".parse().unwrap(), Ensure { generation: 1, spec: spec(64) }, full).is_err()
    );
    assert!(board.list(&Caller::LOCAL).vms.is_empty() && board.events(&Caller::LOCAL, 0).events.is_empty());
}

#[test]
fn no_more_vms_and_no_more_memory_than_the_configuration_allows() {
    let board = board(128, 2);
    for id in ["a", "b"] {
        assert!(ensure(&board, id, 1, 100).is_ok());
    }
    assert_eq!(ensure(&board, "c", 1, 16).unwrap_err(), Code::TooMany);
    let vm = |id: &str| board.vm(&id.parse().unwrap()).unwrap();
    board.begin(&Caller::LOCAL, &vm("a")).unwrap();
    assert_eq!(board.begin(&Caller::LOCAL, &vm("b")).unwrap_err().code, Code::NoMemory);
    board.update(&"a".parse().unwrap(), |vm| vm.state = State::Stopped).unwrap();
    assert!(board.begin(&Caller::LOCAL, &vm("b")).is_ok(), "what ended gives its memory back");
}

#[test]
fn a_slow_reader_sees_that_events_are_gone() {
    let board = board(1024, 8);
    ensure(&board, "a", 1, 64).unwrap();
    let id = "a".parse().unwrap();
    for _ in 0..VM_EVENTS {
        board.update(&id, |vm| vm.state = State::Stopped).unwrap();
    }
    let events = board.events(&Caller::LOCAL, 0);
    let last_lost = events.first_kept.checked_sub(1).unwrap();
    assert!(events.has_gap(0) && events.has_gap(last_lost - 1) && !events.has_gap(last_lost));
    assert_eq!(events.events.len(), VM_EVENTS);
    assert_eq!(
        board.list(&Caller::LOCAL).sequence,
        board.events(&Caller::LOCAL, events.first_kept).events.last().unwrap().sequence
    );
}

/// What a caller sees: ids of its list, ids of its events.
fn seen(board: &Board, by: &Caller) -> (Vec<String>, Vec<String>) {
    let listed = board.list(by).vms.iter().map(|vm| vm.id.to_string()).collect();
    let first = board.events(by, 0).first_kept;
    (listed, board.events(by, first - 1).events.iter().map(|event| event.id.to_string()).collect())
}

#[test]
fn a_tenant_sees_its_own_vms_and_of_another_s_only_that_the_id_is_taken() {
    let board = board(1024, 8);
    let (shop, bank) = (caller("shop", Role::Tenant), caller("bank", Role::Tenant));
    for (by, id) in [(&shop, "s"), (&bank, "b"), (&Caller::LOCAL, "o")] {
        assert!(matches!(ensure_as(by, &board, id, 2, 64), Ok(Ensured::Changed(_))));
    }
    let own = || vec!["s".to_owned()];
    assert_eq!(seen(&board, &shop), (own(), own()));
    assert_eq!(seen(&board, &caller("ops", Role::Viewer)).0.len(), 3);
    // Whatever generation and spec it asks for, the answer is the same.
    for id in ["b", "o"] {
        for (generation, memory_mib) in [(1, 64), (2, 64), (2, 65), (3, 64)] {
            assert_eq!(ensure_as(&shop, &board, id, generation, memory_mib).unwrap_err(), Code::IdTaken);
        }
        let id = id.parse().unwrap();
        assert_eq!(board.seen(&shop, &id).unwrap_err(), unknown(&id));
        for generation in [1, 2, 3] {
            assert_eq!(board.vm_of(&shop, &id, generation).unwrap_err(), unknown(&id));
        }
        board.forget(&id).unwrap();
        assert!(board.forgotten(&shop, &id, 2).is_none());
        assert_eq!(ensure_as(&shop, &board, id.as_str(), 3, 64).unwrap_err(), Code::IdTaken, "and when it is gone");
    }
    assert!(board.forgotten(&bank, &"b".parse().unwrap(), 2).is_some());
}

#[test]
fn a_vm_keeps_its_owner_whoever_changes_it() {
    let board = board(1024, 8);
    let shop = caller("shop", Role::Tenant);
    ensure_as(&shop, &board, "s", 1, 64).unwrap();
    let changed = ensure_as(&caller("ops", Role::Operator), &board, "s", 2, 65).unwrap();
    assert!(matches!(changed, Ensured::Changed(vm) if vm.owner.as_ref() == shop.name()));
}

#[test]
fn a_client_has_no_more_than_its_quota_whoever_asks_for_it() {
    let client = "[[vms.client]]\nkey = '00'\nname = 'shop'\nrole = 'tenant'\n".replace("00", &"00".repeat(32));
    let ensured = |board: &Board, by: &Caller, id: &str| match ensure_as(by, board, id, 1, 100) {
        Ok(Ensured::Changed(vm)) => Ok(vm),
        other => Err(other.unwrap_err()),
    };
    let shop = caller("shop", Role::Tenant);
    let refused = |quota: &str, by: &Caller| {
        let board = board_for(1024, 8, &format!("{client}{quota}"));
        let first = ensured(&board, &shop, "one")?;
        let second = ensured(&board, &shop, "two")?;
        board.begin(by, &first).map_err(|problem| problem.code)?;
        board.begin(by, &second).map_err(|problem| problem.code)
    };
    for (quota, by_itself, by_the_operator) in [
        ("count = 1", Code::QuotaCount, Some(Code::QuotaCount)),
        ("memory_mib = 199", Code::QuotaMemory, Some(Code::QuotaMemory)),
        ("vcpus = 1", Code::QuotaVcpus, Some(Code::QuotaVcpus)),
        ("entries = 7", Code::QuotaEntries, None),
    ] {
        assert_eq!(refused(quota, &shop).unwrap_err(), by_itself, "{quota}");
        assert_eq!(refused(quota, &Caller::LOCAL).err(), by_the_operator, "{quota}");
    }
    for enough in ["count = 2", "memory_mib = 200", "vcpus = 2", "entries = 8"] {
        assert!(refused(enough, &shop).is_ok(), "{enough}");
    }
}

#[test]
fn what_servers_before_wrote_for_a_client_counts() {
    let client =
        "[[vms.client]]\nkey = '00'\nname = 'shop'\nrole = 'tenant'\nentries = 5\n".replace("00", &"00".repeat(32));
    let board = board_for(1024, 8, &client);
    let shop = caller("shop", Role::Tenant);
    board.recount(shop.name().unwrap(), 4);
    assert!(board.charge(&shop).is_ok());
    assert_eq!(board.charge(&shop).unwrap_err().code, Code::QuotaEntries);
    assert!(board.charge(&caller("bank", Role::Tenant)).is_ok(), "another has its own");
}

#[tokio::test]
async fn a_tenant_that_waits_is_not_woken_by_another_s_event() {
    use std::time::Duration;
    let board = board(1024, 8);
    let shop = caller("shop", Role::Tenant);
    ensure_as(&shop, &board, "s", 1, 64).unwrap();
    let after = board.list(&shop).sequence;
    ensure(&board, "o", 1, 64).unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(50), board.wait_for_event(&shop, after)).await;
    assert!(waited.is_err());
    ensure_as(&shop, &board, "s", 2, 64).unwrap();
    board.wait_for_event(&shop, after).await;
    board.wait_for_event(&shop, 0).await;
    board.wait_for_event(&shop, u64::MAX).await;
}

#[test]
fn an_address_is_one_vms_until_it_is_forgotten_or_gets_another_spec() {
    let network = "[[vms.network]]\nname = 'lan'\nkind = 'bridge'\nbridge = 'br0'\nsubnet = '10.0.0.0/29'\n";
    let board = board_for(1024, 8, network);
    let with_nic = |memory_mib: u64| {
        let text = String::from_utf8(spec(memory_mib).canonical()).unwrap();
        let nics = r#","nics":[{"network":"lan","address":"10.0.0.2"}]}"#;
        Spec::from_json(format!("{}{nics}", text.strip_suffix('}').unwrap()).as_bytes()).unwrap()
    };
    let ensure = |id: &str, generation: u64, spec: Spec| {
        let ensured = board.ensure(&Caller::LOCAL, &id.parse().unwrap(), Ensure { generation, spec }, |_| Ok(()));
        ensured.map(|_| board.vm(&id.parse().unwrap()).unwrap().nics).map_err(|problem| problem.code)
    };
    let first = ensure("a", 1, with_nic(64)).unwrap();
    assert_eq!(first.iter().map(|nic| nic.address).collect::<Vec<_>>(), ["10.0.0.2".parse().ok()]);
    assert_eq!(ensure("b", 1, with_nic(64)), Err(Code::AddressTaken));
    assert_eq!(ensure("a", 2, with_nic(65)), Ok(first), "the same interface with another spec");
    assert_eq!(ensure("a", 3, spec(64)), Ok(Vec::new()));
    assert_eq!(ensure("b", 1, with_nic(64)), Err(Code::AddressTaken), "it rests");
    assert!(ensure("a", 4, with_nic(64)).is_ok());
    board.forget(&"a".parse().unwrap()).unwrap();
    assert_eq!(ensure("b", 1, with_nic(64)), Err(Code::AddressTaken), "it rests");
}
