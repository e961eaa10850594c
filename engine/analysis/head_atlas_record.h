/// \file
/// Atlas entries, and what a run of the atlas is of, as JSON text of one line each: what its journal keeps and what its ranks
/// send each other. Numbers keep all their digits, so that an entry read back gives the same files.
#pragma once

#include "analysis/head_atlas.h"

#include <string>
#include <string_view>
#include <vector>

namespace convbasis {

/// Where a head is in its model.
struct AtlasPlace {
  Index layer = 0, head = 0;
  bool operator==(const AtlasPlace&) const = default;
};

/// All that decides what an atlas says. Two runs with equal manifests give the same entries.
struct AtlasManifest {
  std::string version;      ///< of the program
  std::string file;         ///< name(s), for people
  std::string model;        ///< empty when the file does not say
  std::string fingerprint;  ///< of the files: see fingerprint_of()
  std::string precision;    ///< "f32", "f64"
  Index n = 0;              ///< first tokens looked at; 0: all. A layer with fewer has fewer.
  AtlasOptions options;
  std::vector<AtlasPlace> heads;  ///< ascending by layer, then head

  bool operator==(const AtlasManifest&) const = default;
};

/// An entry as one line of JSON, without the newline. The thumbnail is kept as codes, in base64.
std::string atlas_record_text(const AtlasPlace& place, const HeadAtlasEntry& entry);

struct AtlasRecord {
  AtlasPlace place;
  HeadAtlasEntry entry;
};
/// Throws Error, saying what is wrong, for text that is no record. The text may be anything.
AtlasRecord parse_atlas_record(std::string_view text);

/// The manifest as one line of JSON, and back; throws Error likewise.
std::string atlas_manifest_text(const AtlasManifest& manifest);
AtlasManifest parse_atlas_manifest(std::string_view text);

/// What differs between two manifests, for a message, such as "k is 4,16 there and 8 here"; empty when nothing does.
std::string difference(const AtlasManifest& there, const AtlasManifest& here);

/// The same text for the same bytes on every machine: 16 hexadecimal digits. Not for secrets.
std::string checksum(std::string_view bytes);

std::string base64_text(std::span<const std::uint8_t> bytes);
/// Throws Error unless `text` is base64 with padding.
std::vector<std::uint8_t> bytes_of_base64(std::string_view text);

}  // namespace convbasis
