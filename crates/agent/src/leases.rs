use jose_jwt::x25519::SecretKey;
use protocol::{
    ambient,
    offline::{KeyDigest, OfflineRequest},
    proof::Operation,
    request::LeaseRequest,
};

use crate::{Agent, Error, Status, agent::to_json, exchange::new_nonce, folder::RECORD};

/// What an agent does about offline leases.
impl Agent {
    /// Takes a lease for so many seconds, or for as many as the server grants. Where one is held it is renewed.
    ///
    /// [`Error::LeaseRefused`] says why there is none.
    pub async fn take_lease(&self, seconds: u64) -> Result<Status, Error> {
        let (locked, mut core) = self.lock_activated().await?;
        let request = LeaseRequest { heartbeat: self.observation()?, duration_seconds: duration(seconds) };
        let result = self.prove(&locked, &mut core, Operation::Lease, Some(to_json(&request))).await;
        self.conclude(&locked, &mut core, result)
    }

    /// Gives the lease back before its end.
    pub async fn return_lease(&self) -> Result<Status, Error> {
        let (locked, mut core) = self.lock_activated().await?;
        let lease = core.lease().ok_or(Error::NoLease)?;
        let result = self.prove(&locked, &mut core, Operation::LeaseReturn(lease), None).await;
        self.conclude(&locked, &mut core, result)
    }

    /// Asks by file, on a machine that is never online, for an activation and a lease of so many seconds: the JSON that
    /// an operator has to be given. It is made with the license key that the agent was given or has kept, and holds
    /// nothing secret. What opens the answer stays in the state folder.
    pub async fn request_offline(&self, seconds: u64) -> Result<String, Error> {
        let key = self.held_key()?.ok_or(Error::NoLicenseKey)?;
        let secret = SecretKey::from_bytes(&ambient::array(&*self.random));
        let request = OfflineRequest {
            key_digest: KeyDigest::of(&key),
            nonce: new_nonce(&*self.random),
            instance_id: self.instance,
            fingerprint: self.view.fingerprint()?,
            agent: self.info.clone(),
            iat: self.view.clocks.read().unix.max(0),
            duration_seconds: duration(seconds),
            reply_to: secret.public(),
        };
        self.view.folder.create()?;
        let locked = self.view.folder.lock().await?;
        let mut core = self.view.load()?;
        core.requested(request.nonce, &secret);
        // The request leaves only when what opens its answer is on the disk.
        locked.write(RECORD, &core.record())?;
        self.keep_settings(&locked, &key)?;
        Ok(request.sign(&key))
    }

    /// Takes the answer to a request by file: an install, the keys and a lease, all of it or nothing. Each is taken once.
    pub async fn import_offline(&self, reply: &str) -> Result<Status, Error> {
        // A folder in which nothing was ever asked isn't made.
        if !self.view.load()?.is_waiting() {
            return Err(Error::UnknownReply);
        }
        let locked = self.view.folder.lock().await?;
        let mut core = self.view.load()?;
        core.import(reply.trim_ascii(), &self.view.clocks.read())?;
        self.conclude(&locked, &mut core, Ok(()))
    }
}

/// A lease is asked for at least a second, and for no more than a number can say.
fn duration(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).clamp(1, protocol::MAX_INTEGER)
}
