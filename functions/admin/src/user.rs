//! People who may sign in: made, changed, removed.

use protocol::UserId;
use protocol::admin::{NewUser, PresentedPassword, Role, Time, User, UserChange};
use protocol::ambient::array;
use protocol::problem::FieldError;
use store::{Change, Store, UserRow};

use crate::error::Error;
use crate::operator::{Expected, Making, Operator, States};
use crate::password::{Password, Passwords};

/// At most `limit` users after `after`, in the order in which they were made.
///
/// # Errors
/// When the database isn't available.
pub async fn list(store: &Store, after: Option<UserId>, limit: i64) -> Result<Vec<User>, Error> {
    Ok(store.list_users(after, limit).await?.into_iter().map(shown).collect())
}

/// Makes a user.
///
/// # Errors
/// When the address or the password isn't as described, or the address is taken.
pub(crate) async fn create(
    operator: &Operator<'_>,
    passwords: &Passwords,
    wanted: NewUser,
) -> Result<User, Error> {
    let (email, password) = both(email(&wanted.email), password(&wanted.password))?;
    let hash = passwords.hash(password, array(operator.store.random())).await?;
    insert(operator, &email, wanted.role, &hash).await
}

/// Makes a user as [`create`] does, on the thread that calls: for a program that serves nobody.
///
/// # Errors
/// As [`create`].
pub async fn create_here(
    operator: &Operator<'_>,
    email_text: &str,
    role: Role,
    password: &Password,
) -> Result<User, Error> {
    let email = email(email_text).map_err(|error| Error::Invalid(vec![error]))?;
    insert(operator, &email, role, &password.hash(array(operator.store.random()))).await
}

async fn insert(operator: &Operator<'_>, email: &str, role: Role, hash: &str) -> Result<User, Error> {
    let mut connection = operator.connect().await?;
    let draft = match operator.begin_making(&mut connection).await? {
        Making::Done(user) => return Ok(user),
        Making::New(draft) => draft,
    };
    let user = shown(draft.change.insert_user(email, role, hash).await?);
    operator.finish_making(draft, "user.create", user.id, States::made(&user)?, &user).await?;
    Ok(user)
}

/// Makes the first owner, with a password that nobody chose, unless there is somebody already.
///
/// # Errors
/// When the address isn't as described.
pub async fn create_first_owner(
    operator: &Operator<'_>,
    email: &str,
) -> Result<Option<(User, Password)>, Error> {
    if !operator.store.list_users(None, 1).await?.is_empty() {
        return Ok(None);
    }
    let password = Password::generate(operator.store.random());
    match create_here(operator, email, Role::Owner, &password).await {
        Ok(user) => Ok(Some((user, password))),
        // Another process was faster.
        Err(Error::Conflict(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Changes a user. Where its password or its role changes, its sessions end.
///
/// # Errors
/// When there is no such user, it has changed since, a value isn't as described, or no owner would be left.
pub(crate) async fn change(
    operator: &Operator<'_>,
    passwords: &Passwords,
    id: UserId,
    expected: &Expected,
    wanted: UserChange,
) -> Result<User, Error> {
    let (new_email, new_password) = both(
        wanted.email.as_deref().map(email).transpose(),
        wanted.password.as_ref().map(password).transpose(),
    )?;
    let hash = match new_password {
        Some(password) => Some(passwords.hash(password, array(operator.store.random())).await?),
        None => None,
    };
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let owners = change.lock_owners().await?;
    let before = locked(&change, id, expected).await?;
    let role = wanted.role.unwrap_or(before.role);
    if role != Role::Owner {
        require_another_owner(&owners, id)?;
    }
    let email = new_email.as_deref().unwrap_or(&before.email);
    let after = change.update_user(id, email, role, hash.as_deref()).await?;
    if hash.is_some() || role != before.role {
        change.delete_sessions_of(id).await?;
    }
    let (before, after) = (shown(before), shown(after));
    let action = if hash.is_some() { "user.change_password" } else { "user.change" };
    operator.finish(change, action, id, States::changed(&before, &after)?).await?;
    Ok(after)
}

/// Removes a user; its sessions end.
///
/// # Errors
/// When there is no such user, it has changed since, or no owner would be left.
pub async fn remove(operator: &Operator<'_>, id: UserId, expected: &Expected) -> Result<(), Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let owners = change.lock_owners().await?;
    let before = shown(locked(&change, id, expected).await?);
    require_another_owner(&owners, id)?;
    change.delete_user(id).await?;
    operator.finish(change, "user.remove", id, States::removed(&before)?).await
}

async fn locked(change: &Change<'_>, id: UserId, expected: &Expected) -> Result<UserRow, Error> {
    let user = change.lock_user(id).await?.ok_or_else(|| Error::not_found("user", &id))?;
    expected.check(user.version)?;
    Ok(user)
}

/// Without an owner nobody could make one.
fn require_another_owner(owners: &[UserId], leaving: UserId) -> Result<(), Error> {
    if owners == [leaving] {
        return Err(Error::Conflict("this is the only owner: make another one first".to_owned()));
    }
    Ok(())
}

/// An address, in lower case.
fn email(text: &str) -> Result<String, FieldError> {
    let email = text.trim().to_lowercase();
    let parts = email.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    let is_one = parts.is_some_and(|(_, host)| !host.contains('@'))
        && (3..=254).contains(&email.chars().count())
        && !email.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    let detail = || "has to be an e-mail address of at most 254 characters".to_owned();
    is_one.then_some(email).ok_or_else(|| FieldError { pointer: "/email".to_owned(), detail: detail() })
}

fn password(presented: &PresentedPassword) -> Result<Password, FieldError> {
    Password::parse(presented.text())
        .map_err(|detail| FieldError { pointer: "/password".to_owned(), detail: detail.to_owned() })
}

/// Two values, or everything that is wrong with them.
fn both<A, B>(one: Result<A, FieldError>, other: Result<B, FieldError>) -> Result<(A, B), Error> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (one, other) => Err(Error::Invalid(one.err().into_iter().chain(other.err()).collect())),
    }
}

/// A user as it is told.
pub(crate) fn shown(row: UserRow) -> User {
    User {
        id: row.id,
        email: row.email,
        role: row.role,
        totp: row.totp,
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
        version: row.version,
    }
}
