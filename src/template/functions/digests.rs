//! Digests, password hashes and symmetric encryption.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

use super::random::Stream;
use super::{Call, Function, T, to_text};
use crate::template::data::Data;
use crate::template::fault::{Fault, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("sha1sum", &[T::Text], |c| Ok(Data::from(hex(&sha1::Sha1::digest(c.bytes(0)))))),
    Function::new("sha256sum", &[T::Text], |c| Ok(Data::from(hex(&Sha256::digest(c.bytes(0)))))),
    Function::new("sha512sum", &[T::Text], |c| Ok(Data::from(hex(&Sha512::digest(c.bytes(0)))))),
    Function::new("adler32sum", &[T::Text], |c| {
        let (a, b) = c.bytes(0).iter().fold((1u32, 0u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        Ok(Data::from((b << 16 | a).to_string()))
    }),
    Function::new("bcrypt", &[T::Text], |c| Ok(Data::from(bcrypt_hash(c, 0)?))),
    Function::new("htpasswd", &[T::Text, T::Text], |c| {
        let user = c.text(0);
        if user.contains(':') {
            return Ok(Data::from(format!("invalid username: {user}")));
        }
        Ok(Data::from(format!("{user}:{}", bcrypt_hash(c, 1)?)))
    }),
    Function::new("derivePassword", &[T::Int, T::Text, T::Text, T::Text, T::Text], derive),
    Function::new("encryptAES", &[T::Text, T::Text], encrypt),
    Function::new("decryptAES", &[T::Text, T::Text], decrypt),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn bcrypt_hash(c: &Call<'_, '_>, index: usize) -> Result<String, Fault> {
    let password = c.bytes(index);
    if password.len() > 72 {
        return Ok("failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".to_owned());
    }
    // Each hash takes as long as hundreds of thousands of steps.
    c.step(400_000)?;
    let mut salt = [0; 16];
    salt.copy_from_slice(&Stream::new(c)?.bytes(16));
    let hash = bcrypt::hash_with_salt(password, 10, salt).map_err(|e| Fault::new(e.to_string()))?;
    Ok(hash.format_for_version(bcrypt::Version::TwoA))
}

/// Passwords from a master password, by the published Master Password algorithm.
fn derive(c: &Call<'_, '_>) -> Outcome {
    let templates: &[&str] = match c.text(1).as_ref() {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        kind => return Ok(Data::from(format!("cannot find password template {kind}"))),
    };
    let letters = |class: u8| -> &'static [u8] {
        match class {
            b'V' => b"AEIOU",
            b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
            b'v' => b"aeiou",
            b'c' => b"bcdfghjklmnpqrstvwxyz",
            b'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
            b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
            b'n' => b"0123456789",
            b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
            _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
        }
    };
    const SCOPE: &[u8] = b"com.lyndir.masterpassword";
    let (counter, password, user, site) = (c.int(0) as u32, c.bytes(2), c.bytes(3), c.bytes(4));
    let sized = |text: &[u8]| [&(text.len() as u32).to_be_bytes()[..], text].concat();
    c.step(2_000_000)?;
    let mut key = [0; 64];
    let parameters = scrypt::Params::new(15, 8, 2, 64).map_err(|e| Fault::new(e.to_string()))?;
    scrypt::scrypt(password, &[SCOPE, &sized(user)].concat(), &parameters, &mut key)
        .map_err(|e| Fault::new(e.to_string()))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|e| Fault::new(e.to_string()))?;
    mac.update(SCOPE);
    mac.update(&sized(site));
    mac.update(&counter.to_be_bytes());
    let seed = mac.finalize().into_bytes();
    let template = templates[seed[0] as usize % templates.len()];
    let text = template.bytes().zip(seed.iter().skip(1)).map(|(class, byte)| {
        let set = letters(class);
        set[*byte as usize % set.len()] as char
    });
    Ok(Data::from(text.collect::<String>()))
}

/// A password as a key: cut or filled with zeros.
fn aes_key(password: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let length = password.len().min(32);
    key[..length].copy_from_slice(&password[..length]);
    key
}

fn encrypt(c: &Call<'_, '_>) -> Outcome {
    let vector = Stream::new(c)?.bytes(16);
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(&aes_key(c.bytes(0)), &vector)
        .map_err(|e| Fault::new(e.to_string()))?;
    let sealed = cipher.encrypt_padded_vec_mut::<Pkcs7>(c.bytes(1));
    Ok(Data::from(super::encoding::base64(&[vector, sealed].concat())))
}

fn decrypt(c: &Call<'_, '_>) -> Outcome {
    let sealed = base64::engine::general_purpose::STANDARD
        .decode(to_text(c.any(1))?.bytes())
        .map_err(|e| Fault::new(e.to_string()))?;
    let (vector, body) = sealed.split_at_checked(16).ok_or_else(|| Fault::new("the encrypted text is too short"))?;
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&aes_key(c.bytes(0)), vector)
        .map_err(|e| Fault::new(e.to_string()))?;
    let plain = cipher.decrypt_padded_vec_mut::<Pkcs7>(body);
    Ok(Data::Text(plain.map_err(|_| Fault::new("the encrypted text and the password do not fit"))?.into()))
}
