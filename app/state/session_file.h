/// \file
/// A session on disk (name.convscope.json): what is open, which head, with which parameters, seen in which way.
#pragma once

#include "state/analysis_request.h"
#include "state/layout_preset.h"
#include "state/source.h"
#include "state/training_request.h"
#include "state/undo.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

inline constexpr std::string_view session_ending = ".convscope.json";

/// The example that comes with the program, wherever it is installed.
struct ExampleRecipe {
  bool operator==(const ExampleRecipe&) const = default;
};

/// A session as a value. request.source is without meaning: the number is of one run of the program.
struct SavedSession {
  std::variant<ExampleRecipe, FilesRecipe, convbasis::PlantedOptions> source;
  AnalysisRequest request;
  ViewSettings view;
  std::optional<CellIndex> pinned;
  LayoutPreset preset = LayoutPreset::explore;
  std::vector<std::string> panels;  ///< those shown, by their short names
  bool dark = true;
  double ui_scale = 1.0;
  TrainingRequest training;  ///< the form of the Training panel
};

/// True for names that end as session files do.
bool is_session_file(const std::filesystem::path& path);

/// JSON, version 1. Files below `folder` are named relative to it. Throws nothing but bad_alloc.
std::string session_text(const SavedSession& session, const std::filesystem::path& folder);

/// Reads what session_text writes. Fields that are missing get their defaults, unknown ones are passed over. Checks every field:
/// types, ranges, names, lengths. Relative file names are looked for in the folder of `path`; whether the files exist is not
/// looked at. Throws FileError, naming `path`, the field, what was found and what would be right.
SavedSession parse_session(std::string_view text, const std::filesystem::path& path);

/// Throws FileError, also for a file of more than a megabyte.
SavedSession load_session(const std::filesystem::path& path);
/// Replaces the file in one step, making its folder when needed. Throws FileError; the old file is then untouched.
void save_session(const std::filesystem::path& path, const SavedSession& session);

/// Beside the settings: where the last run ended. Empty without a settings file.
std::filesystem::path last_session_path(const std::filesystem::path& settings_file);

struct LastSession {
  std::optional<SavedSession> session;
  std::string warning;  ///< one line, when the file was there but of no use
};

/// The session at `path`, if it is there and all of its files are. A broken one is kept aside as <path>.broken, with a warning.
/// Never throws.
LastSession load_last_session(const std::filesystem::path& path);

}  // namespace convscope
