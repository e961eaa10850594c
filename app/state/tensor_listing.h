/// \file
/// What is in some files, what each tensor was taken for, and how the user may settle it otherwise: the state behind the dialog
/// "Who is query, key and value". No window in here.
#pragma once

#include "core/run_context.h"
#include "state/source.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

/// One tensor as the table shows it; all texts but the name and what may be chosen are single lines.
struct ListedTensor {
  std::string name;   ///< as the file has it
  std::string type;   ///< "f16"
  std::string shape;  ///< "(9, 1024, 64)"
  std::string file;   ///< without its folder
  std::string use;    ///< "query of layers 0 to 29", or why it was not taken
  bool used = false;
  std::string choice;  ///< what stands for it in a role, see with_layer_sign(); empty when its numbers cannot be read
};

/// Something that can be chosen for a role.
struct RoleChoice {
  std::string name;  ///< of one tensor, or with "{L}" of several
  Index count = 0;   ///< tensors that it names
};

/// What is found in the files of a recipe. Immutable.
struct TensorListing {
  FilesRecipe recipe;
  std::vector<ListedTensor> tensors;         ///< in the files' order
  std::vector<std::string> unread;           ///< tensors that cannot be read, "name: why"
  std::vector<RoleChoice> choices;           ///< with "{L}" first, then the names of all tensors
  std::vector<convbasis::LayerInfo> layers;  ///< empty when no heads are found
  std::string why_not;                       ///< one line, when no heads are found
};

/// The name with "{L}" in place of its layer number: the number after a word such as "layer" or "h", else the first number where
/// the name says query, key, value or attention. Other names as they are: "arr_0" is no layer 0.
std::string with_layer_sign(std::string_view name);

/// Opens the files and looks for heads as the recipe says. Reads headers, and a few rows of attention matrices. Throws FileError
/// when a file cannot be read at all, Cancelled; when only no heads are found, the listing says why.
TensorListing list_tensors(const FilesRecipe& recipe, const convbasis::RunContext& context = {});

enum class TensorRole : std::uint8_t { query, key, value, attention };
inline constexpr std::array all_tensor_roles{TensorRole::query, TensorRole::key, TensorRole::value, TensorRole::attention};
std::string_view name_of(TensorRole role);

/// The name that the hints give for a role.
const std::optional<std::string>& named(const convbasis::ActivationHints& hints, TensorRole role);
/// The name that plays the role in what was found, with "{L}" where the layers differ by their number alone; empty: none.
std::string found_name(const TensorListing& listing, TensorRole role);

/// Puts a name into a role. Attention matrices take the place of query and key, and the other way round; when names were found
/// without hints, the roles beside it keep what was found.
void choose(convbasis::ActivationHints& hints, const TensorListing& found, TensorRole role, const std::string& name);

/// What still has to be chosen before the hints mean something: "key and value"; empty when nothing.
std::string still_to_choose(const convbasis::ActivationHints& hints);

/// One line: "30 layers, heads 9, kv heads 3, n 1024, d 64, query and key", or why there are none.
std::string finding_text(const TensorListing& listing);

/// Where the scores of a layer come from: "query and key, position bias, window 512", "attention probabilities".
std::string scores_text(const convbasis::LayerInfo& layer);

}  // namespace convscope
