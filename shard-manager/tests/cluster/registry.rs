use bytes::Bytes;
use futures::TryStreamExt;
use kiln_proto::{ErrorCode, v1};
use sha2::{Digest, Sha256};

use crate::managers::{Client, Managers, refusal};

/// Some bytes that no other component has.
pub(crate) fn component(seed: u8, size: usize) -> Bytes {
    (0..size).map(|place| (place % 251) as u8 ^ seed).collect()
}

pub(crate) async fn put(client: &mut Client, bytes: &Bytes) {
    for (index, chunk) in bytes.chunks(1 << 20).enumerate() {
        let request = v1::PutBlobChunkRequest {
            digest: digest(bytes),
            index: index as u32,
            bytes: Bytes::copy_from_slice(chunk),
            checksum: crc32c::crc32c(chunk),
        };
        client.put_blob_chunk(request).await.expect("stored");
    }
}

fn digest(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&Sha256::digest(bytes))
}

pub(crate) fn registration(name: &str, update: bool, bytes: &Bytes) -> v1::RegisterComponentRequest {
    v1::RegisterComponentRequest {
        name: name.into(),
        update,
        digest: digest(bytes),
        size: bytes.len() as u64,
        chunks: bytes.len().div_ceil(1 << 20) as u32,
        request_token: format!("{name}/{update}/{}", bytes.len()),
        ..Default::default()
    }
}

pub(crate) async fn fetch(client: &mut Client, bytes: &Bytes) -> Bytes {
    let chunks = client
        .get_blob(v1::GetBlobRequest {
            digest: digest(bytes),
        })
        .await
        .expect("there")
        .into_inner();
    let chunks: Vec<v1::BlobChunk> = chunks.try_collect().await.expect("all chunks");
    chunks.into_iter().flat_map(|chunk| chunk.bytes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn components_are_registered_through_any_manager() {
    let managers = Managers::founded(3, 4, 1).await;
    let mut clients = [managers.client(0), managers.client(1), managers.client(2)];
    let (first, second) = (component(1, 2_500_000), component(2, 1000));

    put(&mut clients[0], &first).await;
    let added = clients[1]
        .register_component(registration("counter", false, &first))
        .await
        .expect("added")
        .into_inner();
    let added = added.component.expect("a component");
    assert_eq!((added.version, added.size), (0, 2_500_000));

    // The same request again, elsewhere, has the same answer; another one does not get the name.
    let again = clients[2]
        .register_component(registration("counter", false, &first))
        .await
        .expect("same")
        .into_inner();
    assert_eq!(again.component.as_ref(), Some(&added));
    let other = v1::RegisterComponentRequest {
        request_token: "other".into(),
        ..registration("counter", false, &first)
    };
    assert_eq!(
        refusal(clients[0].register_component(other).await).0,
        ErrorCode::AlreadyExists
    );

    put(&mut clients[2], &second).await;
    let updated = clients[0]
        .register_component(registration("counter", true, &second))
        .await
        .expect("updated");
    assert_eq!(updated.into_inner().component.expect("a component").version, 1);
    let unknown = clients[0]
        .register_component(registration("nobody", true, &second))
        .await;
    assert_eq!(refusal(unknown).0, ErrorCode::NotFound);

    for client in &mut clients {
        let by_id = kiln_proto::ids::ComponentId::from_slice(&added.component_id)
            .expect("an id")
            .to_string();
        for (component, version, expected) in [
            ("counter", None, 1),
            (by_id.as_str(), Some(0), 0),
            (&by_id, None, 1),
        ] {
            let request = v1::FindComponentRequest {
                component: component.into(),
                version,
            };
            let found = client.find_component(request).await.expect("found").into_inner();
            assert_eq!(
                (found.component.expect("a component").version, found.latest),
                (expected, 1)
            );
        }
        let missing = v1::FindComponentRequest {
            component: "counter".into(),
            version: Some(2),
        };
        assert_eq!(
            refusal(client.find_component(missing).await).0,
            ErrorCode::NotFound
        );
        let list = client
            .list_registry(v1::ListRegistryRequest {})
            .await
            .expect("a list")
            .into_inner()
            .components;
        assert_eq!(
            list.iter()
                .map(|row| (row.name.as_str(), row.version))
                .collect::<Vec<_>>(),
            [("counter", 1)]
        );
        assert_eq!(fetch(client, &first).await, first);
        assert_eq!(fetch(client, &second).await, second);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_refused() {
    let managers = Managers::founded(1, 1, 1).await;
    let mut client = managers.client(0);
    let bytes = component(3, 1000);

    let unsent = client.register_component(registration("a", false, &bytes)).await;
    assert_eq!(
        refusal(unsent),
        (ErrorCode::Invalid, "chunk 0 of 1 has not been stored".into())
    );

    let chunk = v1::PutBlobChunkRequest {
        digest: digest(&bytes),
        index: 0,
        bytes: bytes.clone(),
        checksum: 7,
    };
    assert_eq!(
        refusal(client.put_blob_chunk(chunk.clone()).await).0,
        ErrorCode::Invalid,
        "damaged on the way"
    );

    let wrong = component(4, 1000);
    let forged = v1::PutBlobChunkRequest {
        bytes: wrong.clone(),
        checksum: crc32c::crc32c(&wrong),
        ..chunk
    };
    client
        .put_blob_chunk(forged)
        .await
        .expect("not known to be wrong yet");
    let (code, message) = refusal(client.register_component(registration("a", false, &bytes)).await);
    assert_eq!(code, ErrorCode::Invalid);
    assert!(message.contains("SHA-256"), "{message}");

    // The right bytes take the place of the wrong ones, and after that nothing does.
    put(&mut client, &bytes).await;
    client
        .register_component(registration("a", false, &bytes))
        .await
        .expect("added");
    let late = v1::PutBlobChunkRequest {
        digest: digest(&bytes),
        index: 0,
        checksum: crc32c::crc32c(&wrong),
        bytes: wrong,
    };
    client.put_blob_chunk(late).await.expect("ignored");
    assert_eq!(fetch(&mut client, &bytes).await, bytes);
}
