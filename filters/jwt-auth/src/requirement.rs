//! Which credentials a request needs, and which of its places they are looked for in.

use portcullis_core::{ConfigError, Request};

use crate::config::RequireConfig;
use crate::credentials::{Credential, Location};
use crate::refusal::Refusal;
use crate::source::{Kind, Source};

/// What a request needs: one credential for each group, and of none for an empty list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    groups: Vec<Group>,
    is_optional: bool,
}

/// Sources of which one must vouch for the request, by the places that they read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    places: Vec<Place>,
    /// Sources that judge the connection's certificate, where no place holds anything.
    certificates: Vec<usize>,
}

/// A place, and the sources that read it, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    location: Location,
    sources: Vec<usize>,
}

/// The credential of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The credential.
    pub credential: Credential<'a>,
    /// The sources that may vouch for it, by index.
    pub sources: &'a [usize],
}

impl Requirement {
    /// Finds the sources by their names.
    ///
    /// # Errors
    /// [`ConfigError`] for a name that is none or comes twice, an empty list, or two sources of `all_of` that read the
    /// same place: no request could meet that.
    pub fn new(config: &RequireConfig, sources: &[Source]) -> Result<Self, ConfigError> {
        let all = || (0..sources.len()).collect::<Vec<_>>();
        let (groups, is_optional) = match config {
            RequireConfig::None => (vec![], false),
            RequireConfig::Token => (vec![Group::of(&all(), sources)], false),
            RequireConfig::Optional => (vec![Group::of(&all(), sources)], true),
            RequireConfig::AnyOf(names) => {
                (vec![Group::of(&indices("any_of", names, sources)?, sources)], false)
            }
            RequireConfig::OptionalOf(names) => {
                (vec![Group::of(&indices("optional_of", names, sources)?, sources)], true)
            }
            RequireConfig::AllOf(names) => {
                let indices = indices("all_of", names, sources)?;
                let groups: Vec<_> = indices.iter().map(|index| Group::of(&[*index], sources)).collect();
                let mut places = groups.iter().flat_map(|group| &group.places).map(|place| &place.location);
                while let Some(location) = places.next() {
                    if places.clone().any(|other| other == location) {
                        let problem = "expected providers with places of their own, found two with the same";
                        return Err(ConfigError::new("all_of", problem));
                    }
                }
                (groups, false)
            }
        };
        Ok(Self { groups, is_optional })
    }

    /// The groups, each of which needs a credential.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Whether a request without any credential passes.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.is_optional
    }

    /// Whether it takes nothing but API keys.
    #[must_use]
    pub fn takes_only_api_keys(&self, sources: &[Source]) -> bool {
        let of_group = |group: &'_ Group| {
            let places = group.places.iter().flat_map(|place| place.sources.iter().copied());
            places.chain(group.certificates.iter().copied()).collect::<Vec<_>>()
        };
        let mut indices = self.groups.iter().flat_map(of_group);
        let is_key =
            |index: usize| matches!(sources.get(index).map(|source| &source.kind), Some(Kind::ApiKeys(_)));
        !self.groups.is_empty() && indices.all(is_key)
    }
}

impl Group {
    fn of(indices: &[usize], sources: &[Source]) -> Self {
        let mut places: Vec<Place> = Vec::new();
        let mut certificates = Vec::new();
        for index in indices {
            if matches!(sources.get(*index).map(|source| &source.kind), Some(Kind::Certificates(_))) {
                certificates.push(*index);
            }
            for location in sources.get(*index).map(|source| source.from.as_slice()).unwrap_or_default() {
                match places.iter_mut().find(|place| place.location == *location) {
                    Some(place) => place.sources.push(*index),
                    None => places.push(Place { location: location.clone(), sources: vec![*index] }),
                }
            }
        }
        Self { places, certificates }
    }

    /// The sources that judge the connection's certificate, by index.
    #[must_use]
    pub fn certificates(&self) -> &[usize] {
        &self.certificates
    }

    /// The only credential of this group in a request; none when nothing is there.
    ///
    /// # Errors
    /// [`Refusal::MultipleCredentials`] for two, in one place or in several (RFC 6750 section 2).
    pub fn find<'a>(&'a self, request: &'a Request) -> Result<Option<Found<'a>>, Refusal> {
        let mut found = None;
        for place in &self.places {
            if let Some(credential) = place.location.find(request)? {
                if found.is_some() {
                    return Err(Refusal::MultipleCredentials);
                }
                found = Some(Found { credential, sources: &place.sources });
            }
        }
        Ok(found)
    }
}

fn indices(member: &str, names: &[String], sources: &[Source]) -> Result<Vec<usize>, ConfigError> {
    let mut indices = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let Some(index) = sources.iter().position(|source| source.name == *name) else {
            let known: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
            let problem = format!("expected one of `{}`, found `{name}`", known.join("`, `"));
            return Err(ConfigError::new(format!("{member}[{i}]"), problem));
        };
        if indices.contains(&index) {
            let problem = format!("expected each provider once, found `{name}` a second time");
            return Err(ConfigError::new(format!("{member}[{i}]"), problem));
        }
        indices.push(index);
    }
    if indices.is_empty() {
        return Err(ConfigError::new(member, "expected the name of a provider, found none"));
    }
    Ok(indices)
}
