/// \file
/// Where an exported number or picture comes from: one line for people, and the command that makes it again.
#pragma once

#include "state/analysis_runner.h"

#include <string>
#include <string_view>

namespace convscope {

/// Everything that an analysis depends on.
struct Provenance {
  std::string name;     ///< of the file or files, or "planted, 4 segments"
  std::string model;    ///< empty when the file does not say
  SourceRecipe recipe;  ///< what was opened
  Index layer = 0, head = 0, n = 0;
  Index tokens = 0;  ///< that the source has; n of them were analysed
  Method method = Method::recover;
  convbasis::RecoverOptions options;
  convbasis::StructuredOptions fit_options;  ///< of a fit
  convbasis::RankOptions rank_options;       ///< of low rank
  Index k_found = 0;                         ///< segments; of low rank its rank
  std::string device;                        ///< what did the work: "CPU", "GPU 0 (name)"
  DeviceWish wish;                           ///< that it came from
  std::string version;                       ///< of this program
};

/// Of a finished analysis (its source and analysis are not null).
Provenance provenance_of(const AnalysisResult& result);

/// What computed a finished analysis, and how: "CPU, partitioned FFT, block 256, f32".
std::string work_text(const AnalysisResult& result);

/// "smollm2-135m.safetensors · layer 18 · head 8 · n 1024 · method recover · k 16 (found 12) · ... · convscope 0.1.0": one line
/// without control characters, whatever the file is called.
std::string provenance_line(const Provenance& provenance);

/// The same without the parameters: "smollm2-135m.safetensors · layer 18 · head 8 · n 1024".
std::string head_line(const Provenance& provenance);

/// A `convscope analyze` line for a POSIX shell that computes the same numbers, from any folder.
std::string reproducing_command(const Provenance& provenance);

/// A word as a POSIX shell reads it back unchanged: quoted only where that is needed.
std::string shell_quoted(std::string_view word);

/// `text` with control characters (line breaks, too) replaced by spaces, and bytes that are not UTF-8 by U+FFFD.
std::string single_line(std::string_view text);

}  // namespace convscope
