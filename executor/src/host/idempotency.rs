//! Keys for what a worker does to others: derived from the invocation's own, so that a repetition carries the same one.

use kiln_proto::ids::{IdempotencyKey, OplogIndex};
use uuid::Uuid;

/// Namespace of invocation keys that are no UUIDs themselves. Part of the guest contract.
const ROOT: Uuid = Uuid::from_u128(0x9C19_B15A_C83D_46F7_9BC3_EAD7_9237_33F4);

/// Derives the key of the effect whose call began at `index`, within the invocation that `invocation` names.
#[must_use]
pub fn derived_key(invocation: &IdempotencyKey, index: OplogIndex) -> Uuid {
    let namespace = Uuid::parse_str(invocation.as_str())
        .unwrap_or_else(|_| Uuid::new_v5(&ROOT, invocation.as_str().as_bytes()));
    Uuid::new_v5(&namespace, format!("oplog-index-{}", index.0).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::new(text).expect("a valid key")
    }

    #[test]
    fn gives_the_key_of_the_contract() {
        let derived = derived_key(&key("177db03d-3234-4a04-8d03-e8d042348abd"), OplogIndex(11));
        assert_eq!(derived.to_string(), "25b5624b-3a2a-5574-bdad-418287838cba");
    }

    #[test]
    fn differs_by_index_and_by_invocation_and_takes_any_text() {
        let keys = [
            derived_key(&key("some text"), OplogIndex(4)),
            derived_key(&key("some text"), OplogIndex(5)),
            derived_key(&key("other text"), OplogIndex(4)),
        ];
        assert!(keys[0] != keys[1] && keys[0] != keys[2]);
        assert_eq!(keys[0], derived_key(&key("some text"), OplogIndex(4)));
    }
}
