/// \file
/// The finished heads of an atlas on disk, so that a run that was killed goes on where it was. A text file: a line for the
/// manifest, then one for each head, each after its checksum; only ever appended to, and on the disk when append() returns.
#pragma once

#include "analysis/head_atlas_record.h"

#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

namespace convbasis {

/// What a journal holds.
struct AtlasPart {
  AtlasManifest manifest;
  std::map<Index, HeadAtlasEntry> entries;  ///< by place in manifest.heads
  Index damaged = 0;                        ///< lines that were left out, a torn last one not counted
  std::uintmax_t whole_bytes = 0;           ///< up to the end of the last complete line
};

/// Reads a journal, whoever wrote it. A last line without its end was torn by a crash and is left out, lines whose checksum is
/// wrong likewise. Throws FileError when it is missing, is no journal, or is of a later format.
AtlasPart read_atlas_journal(const std::filesystem::path& path);

/// A journal that is being written, by one thread of one process.
class AtlasJournal {
 public:
  /// Opens the journal at `path`, or begins one. Throws FileError when it cannot be written or is no journal, InvalidArgument
  /// when it is of another run than `manifest`: the message says what differs. With `restart` whatever is there is replaced.
  AtlasJournal(const std::filesystem::path& path, const AtlasManifest& manifest, bool restart);

  const std::filesystem::path& path() const { return path_; }
  /// The heads that earlier runs finished.
  std::map<Index, HeadAtlasEntry> take_finished() { return std::move(finished_); }
  Index damaged() const { return damaged_; }

  /// Keeps a record that atlas_record_text() made. Waits until the disk has it. Throws FileError.
  void append(std::string_view record);
  /// Deletes the file: what it was for is done.
  void remove();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  void open(const char* mode);
  void write_line(std::string_view text);

  std::filesystem::path path_;
  std::map<Index, HeadAtlasEntry> finished_;
  Index damaged_ = 0;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace convbasis
