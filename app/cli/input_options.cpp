#include "cli/input_options.h"

#include "core/errors.h"
#include "state/assets.h"

namespace convscope {

void add_hint_options(CLI::App& verb, convbasis::ActivationHints& hints) {
  CLI::Option* query =
      verb.add_option("--q", hints.query_name, "Name of the query tensor, when it cannot be guessed")->type_name("NAME");
  CLI::Option* key = verb.add_option("--k-tensor", hints.key_name, "Name of the key tensor")->type_name("NAME");
  CLI::Option* value = verb.add_option("--v", hints.value_name, "Name of the value tensor")->type_name("NAME");
  query->needs(key)->needs(value);
  key->needs(query);
  verb.add_option("--layout", hints.layout,
                  "Order of the tensors' axes: hnd, nhd, lhnd, 1hnd, nd or n(hd); h heads, n tokens, d width, l layers")
      ->type_name("STR");
  verb.add_option("--heads", hints.heads, "Number of query heads, which the layout n(hd) needs")->type_name("N");
  CLI::Option* attention =
      verb.add_option("--attention", hints.attention_name, "Name of a tensor of attention matrices, heads x n x n, to look at")
          ->type_name("NAME");
  attention->excludes(query)->excludes(key);
  verb.add_option_function<std::string>(
          "--attention-kind", [&hints](const std::string& name) { hints.attention_kind = convbasis::attention_kind(name); },
          "What attention matrices hold: probabilities or scores; else told by a few rows")
      ->check(CLI::IsMember({"probabilities", "scores"}))
      ->type_name("STR");
}

void add_precision_option(CLI::App& verb, std::string& precision) {
  verb.add_option("--precision", precision, "Working precision: f32 or f64")
      ->check(CLI::IsMember({"f32", "f64"}))
      ->type_name("NAME")
      ->capture_default_str();
}

void add_threads_option(CLI::App& verb, int& threads) {
  verb.add_option("--threads", threads, "Worker threads; 0: all of the machine")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N")
      ->capture_default_str();
}

std::vector<std::filesystem::path> files_or_example(const std::vector<std::filesystem::path>& files) {
  if (!files.empty()) return files;
  if (const auto example = find_asset(example_asset)) return {*example};
  throw convbasis::FileError(std::string(example_asset),
                             "the built-in example is not installed; name a file, or set CONVSCOPE_ASSETS to the assets folder");
}

}  // namespace convscope
