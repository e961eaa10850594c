/// \file
/// An analysed head as JSON and as a table: the same numbers twice.
#pragma once

#include "analysis/head_analysis.h"
#include "cli/head_input.h"

#include <nlohmann/json.hpp>

#include <concepts>
#include <span>
#include <string>

namespace convscope {

template <convbasis::Real T>
constexpr const char* precision_name = std::same_as<T, float> ? "f32" : "f64";

/// The starts on one line, the first dozen of them.
std::string starts_text(std::span<const Index> starts);

/// What is known of a planted input; null for others.
template <convbasis::Real T>
nlohmann::ordered_json planted_json(const HeadInput<T>& input);

/// What all methods begin with: version, file, which head, its shape. As keys, and as lines.
template <convbasis::Real T>
nlohmann::ordered_json head_json(const HeadInput<T>& input, const convbasis::HeadAnalysis<T>& analysis);
template <convbasis::Real T>
void print_head(const HeadInput<T>& input, const convbasis::HeadAnalysis<T>& analysis);

/// How the approximation was multiplied, and on which instructions.
template <convbasis::Real T>
std::string path_text(const convbasis::HeadAnalysis<T>& analysis);

/// The object of `analyze --json`, with the keys of the product page. Its ladder is empty.
template <convbasis::Real T>
nlohmann::ordered_json to_json(const HeadInput<T>& input, const convbasis::HeadAnalysis<T>& analysis);

/// Prints the table of `analyze`.
template <convbasis::Real T>
void print_table(const HeadInput<T>& input, const convbasis::HeadAnalysis<T>& analysis);

}  // namespace convscope
